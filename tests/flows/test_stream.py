"""Following a run: from any process, through cuts, crashes and a bus that forgets, with no gap and no duplicate."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest
from support.event_process import Process, flush, older_than_a_second, seqs, started, talk
from support.event_runs import RunLedger
from support.valkey import OwnValkey, own_valkey

from app.database.connection import Database
from app.models.events import TERMINAL_EVENTS
from app.models.frames import Frame
from app.services.event_log import JUMP, EventLog


@pytest.fixture
async def ledger(database: Database) -> RunLedger:
    return await RunLedger.of(database)


@pytest.fixture
async def valkey() -> AsyncIterator[OwnValkey]:
    async with own_valkey() as server:
        yield server


@pytest.fixture
async def here(database: Database, valkey: OwnValkey) -> AsyncIterator[Process]:
    async with started(Process(database, valkey)) as process:
        yield process


@pytest.fixture
async def there(database: Database, valkey: OwnValkey) -> AsyncIterator[Process]:
    async with started(Process(database, valkey)) as process:
        yield process


def answer(frames: list[Frame]) -> str:
    return "".join(frame.event["text"] for frame in frames if frame.type == "message.delta")


WORDS = "".join(f"{word} " for word in range(40))


@pytest.mark.parametrize("place", ["same process", "other process"])
async def test_a_follower_reads_a_run_from_the_first_event_to_the_last(
    ledger: RunLedger, here: Process, there: Process, place: str
) -> None:
    run = await ledger.running()
    log = await EventLog.open(run, here.hub, ledger.database)
    reading = asyncio.create_task((here if place == "same process" else there).read(run))
    await talk(ledger, run, log)
    found = await reading
    assert seqs(found) == list(range(1, len(found) + 1))
    assert found[-1].type == "run.completed"
    assert answer(found) == WORDS
    assert [frame.event for frame in found] == [frame.event for frame in await there.read(run)]


async def test_cuts_anywhere_leave_no_gap_and_no_duplicate(ledger: RunLedger, here: Process, there: Process) -> None:
    run = await ledger.running()
    log = await EventLog.open(run, here.hub, ledger.database)
    writing = asyncio.create_task(talk(ledger, run, log, 80))
    dice = random.Random(7)
    found: list[Frame] = []
    while not found or found[-1].type not in TERMINAL_EVENTS:
        process = dice.choice([here, there])
        found += await process.read(run, found[-1].seq if found else 0, most=dice.randint(1, 5))
    await writing
    assert seqs(found) == list(range(1, len(found) + 1))
    assert answer(found) == "".join(f"{word} " for word in range(80))


@pytest.mark.parametrize("accident", ["flushall", "restart"])
async def test_a_bus_that_forgets_in_between_changes_nothing(
    ledger: RunLedger, here: Process, there: Process, valkey: OwnValkey, accident: str
) -> None:
    run = await ledger.running()
    log = await EventLog.open(run, here.hub, ledger.database)
    writing = asyncio.create_task(talk(ledger, run, log, 200, every=50))
    found = await there.read(run, most=5)
    through = asyncio.create_task(there.read(run))
    for _ in range(2):
        if accident == "flushall":
            await flush(valkey)
        else:
            valkey.stop()
            valkey.start()
        found += await there.read(run, found[-1].seq, most=5)
    found += await there.read(run, found[-1].seq)
    await writing
    assert seqs(found) == list(range(1, len(found) + 1))
    assert seqs(await through) == seqs(found)
    assert answer(found) == "".join(f"{word} " for word in range(200))


async def first_of(batches: AsyncIterator[list[Frame]]) -> AsyncIterator[Frame]:
    """The events of the first batch that has any."""
    while not (found := await anext(batches)):
        pass
    for frame in found:
        yield frame


async def test_without_a_bus_followers_here_hear_at_once_and_others_read_the_ledger(
    ledger: RunLedger, here: Process, there: Process, valkey: OwnValkey
) -> None:
    valkey.stop()
    run = await ledger.running()
    log = await EventLog.open(run, here.hub, ledger.database)
    async with contextlib.aclosing(here.follow(run)) as batches:
        log.emit("run.started", model="demo", agent="assistant")
        async with asyncio.timeout(0.5):
            assert seqs([frame async for frame in first_of(batches)]) == [1]
    remote = asyncio.create_task(there.read(run))
    await ledger.end(run, log)
    assert seqs(await remote) == [1, 2]


async def crash(log: EventLog) -> None:
    """What a kill leaves: nothing more is written, nothing is closed."""
    log._hub._dirty.clear()
    log._uncommitted.clear()


async def test_what_a_dead_worker_had_shown_is_taken_over(
    ledger: RunLedger, here: Process, there: Process, valkey: OwnValkey
) -> None:
    await older_than_a_second(valkey)
    run = await ledger.running()
    first = await EventLog.open(run, here.hub, ledger.database)
    first.emit("run.started", model="demo", agent="assistant")
    await ledger.commit(run, first)
    watching = asyncio.create_task(there.read(run))
    for word in ("a ", "b ", "c "):
        first.delta(word)
        await asyncio.sleep(0.03)
    await here.hub.send()
    await crash(first)

    again = await ledger.claimed(run)
    assert again.last_seq == 1
    second = await EventLog.open(again, there.hub, ledger.database)
    second.emit("run.started", model="demo", agent="assistant")
    first.delta("late")
    await ledger.end(again, second)
    found = await watching
    assert seqs(found) == [1, 2, 3, 4, 5, 6]
    assert [frame.event["attempt"] for frame in found] == [1, 1, 1, 1, 2, 2]
    assert [one.event for one in await here.read(run)] == [one.event for one in found]
    await here.hub.send()
    assert first.superseded


async def test_if_worker_and_bus_die_together_numbers_jump_and_are_never_reused(
    ledger: RunLedger, here: Process, there: Process, valkey: OwnValkey
) -> None:
    run = await ledger.running()
    seen: list[int] = []
    for attempt in (1, 2, 3):
        log = await EventLog.open(run, here.hub, ledger.database)
        log.emit("run.started", model="demo", agent="assistant")
        log.delta("lost")
        await here.hub.send()
        shown = log.frames_after(0)
        assert not set(seqs(shown)) & set(seen)
        seen += seqs(shown)
        assert (shown[0].type == "run.snapshot") == (attempt > 1)
        await crash(log)
        await flush(valkey)
        run = await ledger.claimed(run)
        assert run.last_seq == 0
    log = await EventLog.open(run, there.hub, ledger.database)
    watching = asyncio.create_task(there.read(run))
    await ledger.end(run, log)
    found = await watching
    assert [frame.type for frame in found] == ["run.snapshot", "run.completed"]
    assert found[0].seq == 3 * JUMP + 1
    assert min(seqs(found)) > max(seen)
    assert seqs(await here.read(run, after=2)) == seqs(found)


async def test_a_segment_that_ended_with_a_commit_needs_no_jump(
    ledger: RunLedger, here: Process, there: Process, valkey: OwnValkey
) -> None:
    run = await ledger.running()
    log = await EventLog.open(run, here.hub, ledger.database)
    log.emit("run.started", model="demo", agent="assistant")
    await ledger.commit(run, log, ("run.waiting", {"approval_ids": []}), to="waiting")
    log.close()
    await flush(valkey)
    again = await ledger.claimed(run)
    log = await EventLog.open(again, there.hub, ledger.database)
    log.emit("run.started", model="demo", agent="assistant")
    await ledger.end(again, log)
    assert seqs(await here.read(run)) == [1, 2, 3, 4]
