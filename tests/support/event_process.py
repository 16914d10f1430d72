"""The parts of one process that events pass through, for tests with several of them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from redis.asyncio import Redis
from support.event_runs import RunLedger
from support.valkey import OwnValkey

from app.database.connection import Database
from app.integrations.bus import Bus
from app.models.frames import Frame
from app.models.run import Run
from app.services.event_hub import EventHub
from app.services.event_log import EventLog
from app.services.events import follow


class Process:
    """The parts of one process that events pass through."""

    def __init__(self, database: Database, valkey: OwnValkey) -> None:
        self.database = database
        self.bus = Bus(valkey.url)
        self.cancelled: list[object] = []
        self.hub = EventHub(self.bus, on_cancel=self.cancelled.append)

    def follow(self, run: Run, after: int = 0, **options: Any) -> AsyncGenerator[list[Frame]]:
        return follow(self.database, self.hub, run.workspace_id, run.id, after, **options)

    async def read(self, run: Run, after: int = 0, *, most: int | None = None) -> list[Frame]:
        """Events until the end, or the first `most` of them and then a cut."""
        found: list[Frame] = []
        async with asyncio.timeout(20), contextlib.aclosing(self.follow(run, after)) as batches:
            async for batch in batches:
                found += batch
                if most is not None and len(found) >= most:
                    return found[:most]
        return found


@contextlib.asynccontextmanager
async def started(process: Process) -> AsyncIterator[Process]:
    tasks = [asyncio.create_task(process.hub.publish()), asyncio.create_task(process.bus.serve(process.hub))]
    try:
        async with asyncio.timeout(10):
            while not process.bus.connected:
                await asyncio.sleep(0.005)
        yield process
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await process.bus.close()


def seqs(frames: list[Frame]) -> list[int]:
    """Their numbers."""
    return [frame.seq for frame in frames]


async def talk(ledger: RunLedger, run: Run, log: EventLog, words: int = 40, *, every: int = 10) -> None:
    """Stream words and commit now and then, as an executor with tool rounds does; then end."""
    log.emit("run.started", model="demo", agent="assistant")
    for word in range(words):
        log.delta(f"{word} ")
        await asyncio.sleep(0.005)
        if word % every == every - 1:
            log.emit("tool.call", tool_call_id=f"c{word}", tool="clock", arguments={})
            await ledger.commit(run, log)
    await ledger.end(run, log)


async def older_than_a_second(valkey: OwnValkey) -> None:
    """Until the server's age, in whole seconds, tells events of now from events before its start."""
    async with Redis.from_url(valkey.url) as admin:
        while (await admin.info("server"))["uptime_in_seconds"] < 2:
            await asyncio.sleep(0.05)


async def flush(valkey: OwnValkey) -> None:
    """Make it forget everything."""
    async with Redis.from_url(valkey.url) as admin:
        await admin.flushall()
