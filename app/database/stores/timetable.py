"""What is due over all workspaces, what became of each due time, and when the next one is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, DateTime, Integer, Text, Uuid, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import occurrences, tasks
from app.database.rows import columns_of
from app.models.schedule import Occurrence
from app.models.task import Task

_TASK = columns_of(tasks, Task)
_IDS = ARRAY(Uuid(as_uuid=True))
_MOMENTS = ARRAY(DateTime(timezone=True))
_IS_DUE = tasks.c.next_fire_at <= func.app_now(), tasks.c.deleted_at.is_(None)
_DUE = select(*_TASK, func.app_now()).where(*_IS_DUE).order_by(tasks.c.next_fire_at)

_ACTIVE = text(
    """
SELECT t.id, r.id FROM unnest(:workspaces, :ids) AS t(workspace_id, id)
 CROSS JOIN LATERAL (
    SELECT id, status FROM runs WHERE workspace_id = t.workspace_id AND task_id = t.id ORDER BY id DESC LIMIT 5) r
 WHERE r.status IN ('queued', 'running', 'waiting')
"""
).bindparams(bindparam("workspaces", type_=_IDS), bindparam("ids", type_=_IDS))

_WAITING = text(
    """
SELECT o.task_id FROM unnest(:workspaces, :ids) AS t(workspace_id, id)
  JOIN occurrences o ON o.workspace_id = t.workspace_id AND o.task_id = t.id AND o.outcome = 'waiting'
"""
).bindparams(bindparam("workspaces", type_=_IDS), bindparam("ids", type_=_IDS))

_COLUMNS: dict[str, Any] = {
    "workspace_id": _IDS,
    "id": _IDS,
    "task_id": _IDS,
    "due_at": _MOMENTS,
    "fire_at": _MOMENTS,
    "kind": ARRAY(Text),
    "outcome": ARRAY(Text),
    "reason": ARRAY(Text),
    "run_id": _IDS,
}
_RECORD = text(
    f"""
INSERT INTO occurrences ({", ".join(_COLUMNS)}, recorded_at)
SELECT *, app_now() FROM unnest({", ".join(f":{name}" for name in _COLUMNS)})
    ON CONFLICT (workspace_id, task_id, due_at) DO NOTHING
RETURNING task_id, due_at
"""
).bindparams(*(bindparam(name, type_=kind) for name, kind in _COLUMNS.items()))

_ADVANCE = text(
    """
UPDATE tasks t SET next_due_at = n.due_at, next_fire_at = n.fire_at, runs_made = t.runs_made + n.runs,
       finished_at = CASE WHEN n.finished THEN app_now() ELSE t.finished_at END,
       paused_at = CASE WHEN n.broken IS NULL THEN t.paused_at ELSE coalesce(t.paused_at, app_now()) END,
       paused_by = CASE WHEN n.broken IS NULL THEN t.paused_by ELSE 'system' END,
       pause_reason = coalesce(n.broken, t.pause_reason)
  FROM unnest(:workspaces, :ids, :due_at, :fire_at, :runs, :finished, :broken)
    AS n(workspace_id, id, due_at, fire_at, runs, finished, broken)
 WHERE t.workspace_id = n.workspace_id AND t.id = n.id
"""
).bindparams(
    bindparam("workspaces", type_=_IDS),
    bindparam("ids", type_=_IDS),
    bindparam("due_at", type_=_MOMENTS),
    bindparam("fire_at", type_=_MOMENTS),
    bindparam("runs", type_=ARRAY(Integer)),
    bindparam("finished", type_=ARRAY(Boolean)),
    bindparam("broken", type_=ARRAY(Text)),
)
_POSTPONE = text(
    """
UPDATE tasks SET next_fire_at = app_now() + make_interval(secs => :seconds)
 WHERE workspace_id = :workspace_id AND id = :id AND next_fire_at <= app_now()
"""
)
_NEXT = text(
    """
SELECT next_fire_at, extract(epoch FROM next_fire_at - app_now())::float8 FROM tasks
 WHERE next_fire_at IS NOT NULL AND deleted_at IS NULL ORDER BY next_fire_at LIMIT 1
"""
)
_FORGET = text(
    """
DELETE FROM occurrences WHERE (workspace_id, id) IN (
    SELECT workspace_id, id FROM occurrences
     WHERE recorded_at < app_now() - make_interval(days => :days) AND outcome <> 'waiting'
     ORDER BY recorded_at LIMIT :batch)
"""
)


class Due(NamedTuple):
    """A task that is due, locked, and the moment at which that was found, by the ledger's clock."""

    task: Task
    now: datetime


@dataclass(frozen=True, slots=True)
class Advance:
    """A task's next due time, and how many runs the last ones made. `broken` says why it cannot go on."""

    task: Task
    due_at: datetime | None
    fire_at: datetime | None
    runs: int
    finished: bool
    broken: str | None


class TimetableStore:
    """Queries of the clock over all workspaces: a statement each, however many tasks are due."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def due(self, limit: int) -> list[Due]:
        """Tasks whose time has come, the longest overdue first, locked; those that others hold are left to them."""
        statement = _DUE.limit(limit).with_for_update(skip_locked=True, key_share=True)
        return [_due(*row) for row in await self._connection.execute(statement)]

    async def due_ids(self, limit: int) -> list[tuple[UUID, UUID]]:
        """The same as workspace and id, without locks."""
        statement = select(tasks.c.workspace_id, tasks.c.id).where(*_IS_DUE).order_by(tasks.c.next_fire_at).limit(limit)
        return [(row[0], row[1]) for row in await self._connection.execute(statement)]

    async def take(self, workspace_id: UUID, task_id: UUID) -> list[Due]:
        """The one task, locked, if it still is due and nobody else holds it."""
        one = _DUE.where(tasks.c.workspace_id == workspace_id, tasks.c.id == task_id)
        statement = one.with_for_update(skip_locked=True, key_share=True)
        return [_due(*row) for row in await self._connection.execute(statement)]

    async def active_runs(self, of: Sequence[Task]) -> dict[UUID, list[UUID]]:
        """Runs among the latest few of each task that have not ended, by task."""
        found: dict[UUID, list[UUID]] = {}
        if of:
            for task_id, run_id in await self._connection.execute(_ACTIVE, _keys(of)):
                found.setdefault(task_id, []).append(run_id)
        return found

    async def waiting(self, of: Sequence[Task]) -> set[UUID]:
        """Those of the tasks that have an occurrence which waits for the run before it."""
        return {row[0] for row in await self._connection.execute(_WAITING, _keys(of))} if of else set()

    async def record(self, rows: Sequence[Occurrence]) -> set[tuple[UUID, datetime]]:
        """Write what became of due times, each once; (task, due time) of those that were not known yet."""
        if not rows:
            return set()
        values = {name: [getattr(row, name) for row in rows] for name in _COLUMNS}
        return {(row[0], row[1]) for row in await self._connection.execute(_RECORD, values)}

    async def advance(self, changes: Sequence[Advance]) -> None:
        """Set the next due times."""
        if not changes:
            return
        names = ("due_at", "fire_at", "runs", "finished", "broken")
        values = {name: [getattr(change, name) for change in changes] for name in names}
        await self._connection.execute(_ADVANCE, {**_keys([change.task for change in changes]), **values})

    async def postpone(self, workspace_id: UUID, task_id: UUID, seconds: float) -> None:
        """Look at a due task again only so many seconds from now."""
        await self._connection.execute(_POSTPONE, {"workspace_id": workspace_id, "id": task_id, "seconds": seconds})

    async def next(self) -> tuple[datetime, float] | None:
        """When the next task fires, and in how many seconds (below 0 when it is overdue)."""
        found = (await self._connection.execute(_NEXT)).one_or_none()
        return (found[0], found[1]) if found else None

    async def forget(self, days: int, batch: int) -> int:
        """Delete a batch of occurrences that were recorded more than `days` ago; how many those were."""
        return (await self._connection.execute(_FORGET, {"days": days, "batch": batch})).rowcount


def _due(*row: Any) -> Due:
    return Due(Task(*row[:-1]), row[-1])


def _keys(of: Sequence[Task]) -> dict[str, Any]:
    return {"workspaces": [task.workspace_id for task in of], "ids": [task.id for task in of]}


assert set(_COLUMNS) <= {column.name for column in occurrences.columns}
