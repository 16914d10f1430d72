"""Runs of tasks whose end, or whose wait for people, has not been followed up yet; over all workspaces."""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_ENDED = text(
    """
SELECT workspace_id, id FROM runs
 WHERE (task_id IS NOT NULL OR trigger IN ('slack', 'sub_run')) AND completed_at IS NOT NULL AND settled_at IS NULL
 ORDER BY completed_at LIMIT :batch
"""
)
_TAKE = text(
    """
SELECT t.id FROM tasks t JOIN runs r ON r.workspace_id = t.workspace_id AND r.task_id = t.id
 WHERE r.workspace_id = :workspace_id AND r.id = :run_id AND r.settled_at IS NULL
   FOR UPDATE OF t
"""
)
_SETTLE = text(
    """
UPDATE runs SET settled_at = app_now()
 WHERE workspace_id = :workspace_id AND id = :run_id AND settled_at IS NULL AND completed_at IS NOT NULL
"""
)
_WAITING = text(
    """
SELECT DISTINCT a.workspace_id, a.run_id FROM approvals a
  JOIN runs r ON r.workspace_id = a.workspace_id AND r.id = a.run_id
 WHERE a.status = 'pending' AND a.announced_at IS NULL AND (r.task_id IS NOT NULL OR r.trigger = 'slack')
   AND r.status = 'waiting'
 LIMIT :batch
"""
)
_ANNOUNCE = text(
    """
UPDATE approvals SET announced_at = app_now()
 WHERE workspace_id = :workspace_id AND run_id = :run_id AND status = 'pending' AND announced_at IS NULL
RETURNING id
"""
)


class Unsettled(NamedTuple):
    """A run that is to be followed up."""

    workspace_id: UUID
    run_id: UUID


class SettlingStore:
    """Which runs are to be followed up, and that one was: each of them once, by whichever process is first."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def ended(self, batch: int) -> list[Unsettled]:
        """Ended runs of tasks that nobody followed up, the one that ended first before others."""
        return [Unsettled(*row) for row in await self._connection.execute(_ENDED, {"batch": batch})]

    async def waiting(self, batch: int) -> list[Unsettled]:
        """Runs of tasks that wait for decisions which nobody was told of."""
        return [Unsettled(*row) for row in await self._connection.execute(_WAITING, {"batch": batch})]

    async def take(self, one: Unsettled) -> bool:
        """Lock the run's task and mark the run; False when another process was first."""
        values: dict[str, Any] = one._asdict()
        await self._connection.execute(_TAKE, values)
        return (await self._connection.execute(_SETTLE, values)).rowcount == 1

    async def announce(self, one: Unsettled) -> list[UUID]:
        """Mark the run's open approvals as announced; those that this call marked."""
        return [row.id for row in await self._connection.execute(_ANNOUNCE, one._asdict())]
