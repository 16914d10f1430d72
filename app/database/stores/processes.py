"""Processes of the fleet: each one reports itself, and anyone can ask who is there and what waits."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import processes, runs
from app.database.rows import columns_of

FRESH_SECONDS = 60
"""A process that has not reported for so long counts as gone."""

_DELIVERIES = text(
    """
SELECT status, count(*) FROM deliveries
 WHERE created_at > app_now() - interval '1 day' OR status IN ('pending', 'sending', 'held')
 GROUP BY status
"""
)
_LATENESS = text(
    """
SELECT coalesce((SELECT max(greatest(extract(epoch FROM recorded_at - fire_at), 0)) FROM occurrences
                  WHERE recorded_at > app_now() - interval '5 minutes' AND kind = 'schedule' AND outcome = 'run'), 0),
       coalesce((SELECT greatest(extract(epoch FROM app_now() - min(next_fire_at)), 0) FROM tasks
                  WHERE next_fire_at IS NOT NULL AND deleted_at IS NULL), 0)
"""
)


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A row of `processes`."""

    id: str
    role: str
    version: str
    host: str
    pid: int
    load: dict[str, Any]
    started_at: datetime
    heartbeat_at: datetime


COLUMNS = columns_of(processes, ProcessRow)


class ProcessStore:
    """Queries over the processes of the fleet."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def report(
        self, process_id: str, *, role: str, version: str, host: str, pid: int, load: dict[str, Any]
    ) -> None:
        """Say that this process lives, and how it is."""
        statement = upsert(processes).values(id=process_id, role=role, version=version, host=host, pid=pid, load=load)
        statement = statement.on_conflict_do_update(
            index_elements=["id"], set_={"load": load, "heartbeat_at": func.app_now()}
        )
        await self._connection.execute(statement)

    async def leave(self, process_id: str) -> None:
        """Say that this process ends."""
        await self._connection.execute(delete(processes).where(processes.c.id == process_id))

    async def present(self) -> list[ProcessRow]:
        """The processes that reported within the last minute, by role."""
        since = func.app_now() - text(f"interval '{FRESH_SECONDS} seconds'")
        statement = (
            select(*COLUMNS).where(processes.c.heartbeat_at > since).order_by(processes.c.role, processes.c.started_at)
        )
        return [ProcessRow(*row) for row in await self._connection.execute(statement)]

    async def open_runs(self) -> dict[str, int]:
        """How many runs there are in each state that is not an end."""
        statement = (
            select(runs.c.status, func.count())
            .where(runs.c.status.in_(("queued", "running", "waiting")))
            .group_by(runs.c.status)
        )
        return {row[0]: row[1] for row in await self._connection.execute(statement)}

    async def queue_age(self) -> dict[str, float]:
        """Seconds that the oldest claimable run has waited, by lane."""
        age = func.extract("epoch", func.app_now() - func.min(runs.c.available_at))
        statement = (
            select(runs.c.lane, age)
            .where(runs.c.status == "queued", runs.c.available_at <= func.app_now())
            .group_by(runs.c.lane)
        )
        return {row[0]: max(0.0, float(row[1])) for row in await self._connection.execute(statement)}

    async def deliveries(self) -> dict[str, int]:
        """How many notifications of the last day, and older ones that are not done, there are in each state."""
        return {row[0]: row[1] for row in await self._connection.execute(_DELIVERIES)}

    async def lateness(self) -> dict[str, float]:
        """Seconds by which schedules fire late: `worst` of the last five minutes, and of what is `overdue` now."""
        row = (await self._connection.execute(_LATENESS)).one()
        return {"worst": float(row[0]), "overdue": float(row[1])}
