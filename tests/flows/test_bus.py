"""The bus over a real Valkey: order, superseded writers, vanished streams, absence, and word to other processes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from support.valkey import OwnValkey, own_valkey

from app.integrations.bus import AWAY, Bus
from app.integrations.bus_wire import NOWHERE, Position, Publication, stream_of
from app.models.frames import EventHead, Frame, frame


@pytest.fixture
async def valkey() -> AsyncIterator[OwnValkey]:
    async with own_valkey() as server:
        yield server


@pytest.fixture
async def bus(valkey: OwnValkey) -> AsyncIterator[Bus]:
    made = Bus(valkey.url)
    yield made
    await made.close()


NOW = datetime.now(UTC)
RUN = uuid4()
HEAD = EventHead(RUN, uuid4(), 1)


def frames(first: int, last: int) -> list[Frame]:
    return [
        frame(HEAD, seq, "message.delta", {"text": f"{seq}\n", "part": 0}, at=NOW) for seq in range(first, last + 1)
    ]


def seqs(found: list[Frame]) -> list[int]:
    return [one.seq for one in found]


async def older_than_a_second(valkey: OwnValkey) -> None:
    """Until the server's age, in whole seconds, tells events of now from events before its start."""
    async with Redis.from_url(valkey.url) as admin:
        while (await admin.info("server"))["uptime_in_seconds"] < 2:
            await asyncio.sleep(0.05)


async def publish(bus: Bus, fence: int, after: Position, first: int, last: int) -> Position | None:
    return (await bus.publish([Publication(RUN, fence, after, frames(first, last))]))[0]


async def test_events_come_back_in_order_and_whole(bus: Bus) -> None:
    assert await publish(bus, 1, NOWHERE, 1, 3) is None
    assert await publish(bus, 1, Position(1, 3), 4, 450) is None
    found = await bus.tail(RUN, 2)
    assert seqs(found) == list(range(3, 451))
    assert found[0].data == frames(3, 3)[0].data
    assert found[0].event["text"] == "3\n"
    assert await bus.tail(RUN, 450) == []
    assert await bus.tail(uuid4(), 0) == []


async def test_a_writer_that_is_superseded_is_refused(bus: Bus, valkey: OwnValkey) -> None:
    await older_than_a_second(valkey)
    assert await publish(bus, 1, NOWHERE, 1, 2) is None
    tail = await bus.take_over(RUN, 2)
    assert (tail.position, seqs(tail.frames), tail.lost_some) == (Position(2, 0), [1, 2], False)
    assert await publish(bus, 1, Position(1, 2), 3, 4) == Position(2, 0)
    assert await publish(bus, 2, tail.position, 3, 3) is None
    assert await publish(bus, 1, Position(1, 2), 3, 4) == Position(2, 3)
    assert seqs(await bus.tail(RUN, 0)) == [1, 2, 3]


async def test_a_vanished_stream_is_noticed_and_refilled(bus: Bus, valkey: OwnValkey) -> None:
    assert await publish(bus, 1, NOWHERE, 1, 2) is None
    async with Redis.from_url(valkey.url) as admin:
        await admin.flushall()
    assert await publish(bus, 1, Position(1, 2), 3, 3) == NOWHERE
    assert await publish(bus, 1, NOWHERE, 1, 3) is None
    assert seqs(await bus.tail(RUN, 0)) == [1, 2, 3]


async def test_a_restarted_server_knows_neither_scripts_nor_streams(bus: Bus, valkey: OwnValkey) -> None:
    assert await publish(bus, 1, NOWHERE, 1, 2) is None
    valkey.stop()
    with pytest.raises(AWAY):
        await publish(bus, 1, Position(1, 2), 3, 3)
    valkey.start()
    assert await publish(bus, 1, Position(1, 2), 3, 3) == NOWHERE
    tail = await bus.take_over(RUN, 2)
    assert tail.lost_some


async def test_one_round_trip_serves_many_runs(bus: Bus) -> None:
    other = uuid4()
    late = Publication(RUN, 0, NOWHERE, frames(1, 1))
    sent = [Publication(RUN, 1, Position(0, 1), frames(2, 2)), Publication(other, 1, Position(7, 7), frames(1, 1))]
    assert await bus.publish(sent, [late]) == [None, NOWHERE]
    assert await bus.publish([], [late]) == []
    assert seqs(await bus.tail(RUN, 0)) == [1, 2]


async def test_streams_do_not_stay_for_ever(bus: Bus, valkey: OwnValkey) -> None:
    async with Redis.from_url(valkey.url) as admin:
        await publish(bus, 1, NOWHERE, 1, 2)
        assert 80_000 < await admin.ttl(stream_of(RUN)) <= 86_400
        await bus.publish([Publication(RUN, 1, Position(1, 2), frames(3, 3), ended=True)])
        assert 3_000 < await admin.ttl(stream_of(RUN)) <= 3_600
        await bus.publish([Publication(RUN, 1, Position(1, 3), frames(4, 15_000))])
        assert await admin.xlen(stream_of(RUN)) < 11_000


class Ears:
    """A receiver that keeps what it heard."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[tuple[UUID, list[Frame]]] = asyncio.Queue()
        self.cancels: asyncio.Queue[UUID] = asyncio.Queue()
        self.back = asyncio.Event()

    def heard(self, run_id: UUID, frames: list[Frame]) -> None:
        self.frames.put_nowait((run_id, frames))

    def cancel_heard(self, run_id: UUID) -> None:
        self.cancels.put_nowait(run_id)

    def steer_heard(self, run_id: UUID) -> None: ...

    def missed(self) -> None:
        self.back.set()


@contextlib.asynccontextmanager
async def serving(bus: Bus, ears: Ears) -> AsyncIterator[None]:
    task = asyncio.create_task(bus.serve(ears))
    try:
        async with asyncio.timeout(10):
            while not bus.connected:
                await asyncio.sleep(0.005)
            yield
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_other_processes_hear_what_they_watch(bus: Bus, valkey: OwnValkey) -> None:
    there, ears = Bus(valkey.url), Ears()
    async with serving(there, ears):
        await publish(bus, 1, NOWHERE, 1, 1)
        await there.watch(RUN)
        await publish(bus, 1, Position(1, 1), 2, 4)
        run_id, found = await ears.frames.get()
        assert run_id == RUN
        assert found == [one._replace(row=b"") for one in frames(2, 4)]
        await bus.publish([], [Publication(RUN, 0, NOWHERE, frames(1, 1))])
        assert seqs((await ears.frames.get())[1]) == [1]
        there.unwatch(RUN)
        await there.watch(RUN)
        await publish(bus, 1, Position(1, 4), 5, 5)
        assert seqs((await ears.frames.get())[1]) == [5]
    await there.close()


async def test_the_word_to_stop_reaches_every_process(bus: Bus, valkey: OwnValkey) -> None:
    there, ears = Bus(valkey.url), Ears()
    async with serving(there, ears):
        await bus.ring_cancel(RUN)
        assert await ears.cancels.get() == RUN
    await there.close()


async def test_listening_outlives_the_server(bus: Bus, valkey: OwnValkey) -> None:
    there, ears = Bus(valkey.url), Ears()
    async with serving(there, ears):
        await there.watch(RUN)
        valkey.stop()
        await bus.ring_cancel(RUN)
        async with asyncio.timeout(5):
            while there.connected:
                await asyncio.sleep(0.005)
        await there.watch(uuid4())
        valkey.start()
        await ears.back.wait()
        await publish(bus, 1, NOWHERE, 1, 1)
        assert (await ears.frames.get())[0] == RUN
        await bus.ring_cancel(RUN)
        assert await ears.cancels.get() == RUN
    await there.close()
