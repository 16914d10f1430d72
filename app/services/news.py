"""What people say to a run while an attempt at it is made: read when there may be something, given out once."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from pydantic_ai.messages import ModelMessage, ModelRequest

from app.database.connection import Database
from app.database.unit import Unit
from app.models.run import Run
from app.models.steering import Steering

STEERING = "steering_id"
"""The mark of a request that is a message for its run: under it stands the message's id."""


class News:
    """Messages for one run. `ring` is set by whoever hears that there may be some."""

    def __init__(self, database: Database, run: Run, ring: asyncio.Event) -> None:
        self._database = database
        self._run = run
        self._ring = ring
        self._arrived: list[Steering] = []
        self._taken: set[UUID] = set()

    async def read(self, unit: Unit) -> None:
        """Read what has arrived and was not given out here yet."""
        found = await unit.steering.undelivered([self._run.id])
        self._arrived = [message for message in found if message.id not in self._taken]

    async def look(self) -> bool:
        """Whether there is something to give out."""
        if self._ring.is_set():
            self._ring.clear()
            async with self._database.begin(self._run.workspace_id) as unit:
                await self.read(unit)
        return bool(self._arrived)

    def take(self) -> list[Steering]:
        """What `look` has found, the oldest first; each message once."""
        taken, self._arrived = self._arrived, []
        self._taken.update(message.id for message in taken)
        return taken

    async def delivered(self, unit: Unit, messages: Sequence[ModelMessage]) -> None:
        """Note what stands in the log from this commit on, which puts these messages there."""
        if not self._taken:
            return
        marked = (one.metadata for one in messages if isinstance(one, ModelRequest) and one.metadata)
        ids = [UUID(str(metadata[STEERING])) for metadata in marked if STEERING in metadata]
        if ids:
            await unit.steering.deliver(ids)
