"""The doorbell and ARQ's worker over a real Valkey, also while it is away."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from arq.worker import Worker
from redis.asyncio import Redis
from support.valkey import OwnValkey, own_valkey

from app.integrations.queue import (
    KEEN_SECONDS,
    POLL_SECONDS,
    QUEUE_NAME,
    WORD_SECONDS,
    Doorbell,
    PatientRedis,
    words_of,
    worker_options,
)


@pytest.fixture
async def valkey() -> AsyncIterator[OwnValkey]:
    async with own_valkey() as server:
        yield server


class Ears:
    """A worker that notes what it heard."""

    def __init__(self, url: str) -> None:
        self.heard: asyncio.Queue[UUID] = asyncio.Queue()
        options = worker_options(PatientRedis(url))
        self.worker = Worker(functions=[self._wake()], handle_signals=False, **options)

    def _wake(self) -> Any:
        async def wake(ctx: dict[str, Any], run_id: str) -> None:
            self.heard.put_nowait(UUID(run_id))

        wake.__qualname__ = "wake"
        return wake


@contextlib.asynccontextmanager
async def listening(url: str) -> AsyncIterator[Ears]:
    ears = Ears(url)
    task = asyncio.create_task(ears.worker.async_run())
    try:
        yield ears
        assert not task.done(), "the worker ended"
    finally:
        ears.worker.handle_sig_wait_for_completion(signal.SIGTERM)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        with pytest.warns(DeprecationWarning, match="close"):
            await ears.worker.close()


async def ring_until_heard(bell: Doorbell, ears: Ears) -> UUID:
    run_id = uuid4()
    async with asyncio.timeout(10):
        while True:
            await bell.ring_run(run_id, "background")
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(ears.heard.get(), 0.3)


async def test_every_ring_is_heard_even_for_the_same_run(valkey: OwnValkey) -> None:
    bell = Doorbell(valkey.url)
    async with listening(valkey.url) as ears, asyncio.timeout(10):
        run_id = uuid4()
        for _ in range(3):
            await bell.ring_run(run_id, "background")
            assert await ears.heard.get() == run_id
    await bell.close()


async def commands(url: str) -> int:
    async with Redis.from_url(url) as admin:
        return (await admin.info("stats"))["total_commands_processed"]


async def test_an_idle_worker_waits_to_be_told_and_hears_at_once(valkey: OwnValkey) -> None:
    bell = Doorbell(valkey.url)
    async with listening(valkey.url) as ears, asyncio.timeout(20):
        await ring_until_heard(bell, ears)
        await asyncio.sleep(2 * KEEN_SECONDS)
        before = await commands(valkey.url)
        await asyncio.sleep(1)
        assert await commands(valkey.url) - before < 0.2 / POLL_SECONDS, "it asks as if it were not told"
        waits: list[float] = []
        for _ in range(5):
            await asyncio.sleep(1.2 * KEEN_SECONDS)
            began = time.monotonic()
            await bell.ring_run(uuid4(), "background")
            await ears.heard.get()
            waits.append(time.monotonic() - began)
        assert sorted(waits)[2] < WORD_SECONDS / 3, waits
    await bell.close()


async def test_a_full_worker_leaves_bells_and_their_words_to_the_others(valkey: OwnValkey) -> None:
    bell = Doorbell(valkey.url)
    async with listening(valkey.url) as full, asyncio.timeout(20):
        await ring_until_heard(bell, full)
        await asyncio.sleep(2 * KEEN_SECONDS)
        async with Redis.from_url(valkey.url) as admin:
            while not (await admin.info("clients"))["blocked_clients"]:
                await asyncio.sleep(0.01)
            PatientRedis.of(full.worker.pool).listen(False)
            run_id = uuid4()
            await bell.ring_run(run_id, "background")  # the full one hears of it
            while not await admin.exists(words_of(QUEUE_NAME)):
                await asyncio.sleep(0.01)
            async with listening(valkey.url) as free:
                assert await free.heard.get() == run_id
            assert full.heard.empty()
    await bell.close()


async def test_the_worker_lives_through_restarts_absence_and_flushall(valkey: OwnValkey) -> None:
    bell = Doorbell(valkey.url)
    async with listening(valkey.url) as ears:
        await ring_until_heard(bell, ears)
        for _ in range(3):
            ringing = [asyncio.create_task(bell.ring_run(uuid4(), "background")) for _ in range(20)]
            valkey.stop()
            await asyncio.gather(*ringing)
            started = time.monotonic()
            await bell.ring_run(uuid4(), "background")
            assert time.monotonic() - started < 1
            await asyncio.sleep(0.5)
            valkey.start()
            await ring_until_heard(bell, ears)
    await bell.close()


async def test_a_worker_starts_while_valkey_is_away(valkey: OwnValkey) -> None:
    valkey.stop()
    bell = Doorbell(valkey.url)
    async with listening(valkey.url) as ears:
        await asyncio.sleep(0.3)
        assert PatientRedis.of(ears.worker.pool).away
        valkey.start()
        await ring_until_heard(bell, ears)
        assert not PatientRedis.of(ears.worker.pool).away
    await bell.close()


async def test_a_frozen_valkey_does_not_end_the_worker(valkey: OwnValkey) -> None:
    bell = Doorbell(valkey.url)
    async with listening(valkey.url) as ears:
        await ring_until_heard(bell, ears)
        valkey.freeze()
        started = time.monotonic()
        await bell.ring_run(uuid4(), "background")
        assert time.monotonic() - started < 4
        valkey.thaw()
        await ring_until_heard(bell, ears)
    await bell.close()


async def test_a_worker_closes_while_valkey_is_away(valkey: OwnValkey) -> None:
    async with listening(valkey.url):
        await asyncio.sleep(0.1)
        valkey.stop()
        began = time.monotonic()
    assert time.monotonic() - began < 5


async def test_no_cancellation_is_lost_in_a_command(valkey: OwnValkey) -> None:
    client = PatientRedis(valkey.url)

    async def ask_for_ever() -> None:
        while True:
            assert await client.zcard("nothing") == 0

    for steps in range(60):
        asking = asyncio.create_task(ask_for_ever())
        for _ in range(steps):
            await asyncio.sleep(0)
        asking.cancel()
        done, _ = await asyncio.wait([asking], timeout=2)
        assert done, f"cancelled after {steps} steps and still asking"
    await client.aclose(close_connection_pool=True)
