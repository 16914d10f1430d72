"""The writes of an attempt: short units that carry its events along and outlast an absent database."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeVar
from uuid import UUID

from app.database.connection import Database
from app.database.unit import Unit
from app.models.errors import Unavailable
from app.models.frames import EventBatch
from app.services.ending import Told
from app.services.event_log import EventLog

T = TypeVar("T")

PERSIST_SECONDS = 60.0
"""How long a finished step is held in memory while the database is away, before the attempt gives up."""

_taken: ContextVar[EventBatch | None] = ContextVar("taken", default=None)
"""The events that go into the commit of a write. Tool calls run side by side, each in a task of its own, and so do
their writes: one that is done must not settle the events of another one."""


class Persistence:
    """Writes to one run's rows, one unit each."""

    def __init__(self, database: Database, workspace_id: UUID, events: EventLog) -> None:
        self._database = database
        self._workspace_id = workspace_id
        self._events = events

    def take(self, *last: Told) -> EventBatch | None:
        """The events since the last commit, and `last`, for the write that is under way in this task."""
        batch = self._events.take(*last)
        _taken.set(batch)
        return batch

    async def persist(
        self, write: Callable[[Unit], Awaitable[T]], *, done: Callable[[Unit], Awaitable[T | None]] | None = None
    ) -> T:
        """Run one short unit; while the database is away, hold on and try again.

        A commit whose answer was lost may have happened: `done` looks before the second try. Raises Unavailable when
        the database stays away.
        """
        loop = asyncio.get_running_loop()
        patience = loop.time() + PERSIST_SECONDS
        first = True
        while True:
            _taken.set(None)
            try:
                async with self._database.begin(self._workspace_id) as unit:
                    found = None if first or done is None else await done(unit)
                    found = found if found is not None else await write(unit)
                self._events.committed(_taken.get())
                return found
            except Unavailable:
                first = False
                self._events.rolled_back(_taken.get())
                if loop.time() > patience:
                    raise
                await asyncio.sleep(0.25)
