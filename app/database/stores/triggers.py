"""Webhook events over all workspaces: what a door checks them against, and many of them written at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, column, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import DateTime, LargeBinary, Text, Uuid

from app.database.direct import Direct, dumps
from app.database.models import inbound_events, tasks
from app.database.rows import columns_of
from app.models.task import Task
from app.models.trigger import InboundEvent

_UUID = Uuid(as_uuid=True)
_TASK = columns_of(tasks, Task)
_EVENT = columns_of(inbound_events, InboundEvent)
_NAMES = ", ".join(f"t.{one.name}" for one in _TASK)
_EVENT_NAMES = ", ".join(f"e.{one.name}" for one in _EVENT)

_STANDING = Direct(
    text(
        f"""
SELECT {_NAMES}, app_now() AS now, s.ids, s.sealed
  FROM tasks t
 CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(s.id ORDER BY s.id), '{{}}') AS ids,
           coalesce(array_agg(s.sealed ORDER BY s.id), '{{}}') AS sealed
      FROM webhook_secrets s
     WHERE s.workspace_id = t.workspace_id AND s.task_id = t.id
       AND (s.expires_at IS NULL OR s.expires_at > app_now())) s
 WHERE t.id = ANY(:ids) AND t.deleted_at IS NULL
"""
    ).bindparams(bindparam("ids", type_=ARRAY(_UUID))),
    *_TASK,
    column("now", DateTime(timezone=True)),
    column("ids", ARRAY(_UUID)),
    column("sealed", ARRAY(LargeBinary)),
)
_ADD = Direct(
    text(
        """
INSERT INTO inbound_events (workspace_id, id, task_id, dedup_key, body, content_type, headers, scheme, outcome,
                            reason, run_id)
SELECT w, i, t, k, b, c, CAST(h AS jsonb), s, o, r, n
  FROM unnest(CAST(:workspaces AS uuid[]), CAST(:ids AS uuid[]), CAST(:tasks AS uuid[]), CAST(:keys AS text[]),
              CAST(:bodies AS bytea[]), CAST(:types AS text[]), CAST(:headers AS text[]), CAST(:schemes AS text[]),
              CAST(:outcomes AS text[]), CAST(:reasons AS text[]), CAST(:runs AS uuid[]))
       AS new (w, i, t, k, b, c, h, s, o, r, n)
    ON CONFLICT (workspace_id, task_id, dedup_key) DO NOTHING
RETURNING id
"""
    ),
    column("id", _UUID),
)
_EARLIER = Direct(
    text(
        f"""
SELECT {_EVENT_NAMES}
  FROM unnest(CAST(:workspaces AS uuid[]), CAST(:tasks AS uuid[]), CAST(:keys AS text[])) AS asked (w, t, k)
  JOIN inbound_events e ON e.workspace_id = w AND e.task_id = t AND e.dedup_key = k
"""
    ),
    *_EVENT,
)
_NOTE = text("UPDATE inbound_events SET reason = :reason WHERE id = ANY(:ids) AND reason IS NULL").bindparams(
    bindparam("ids", type_=ARRAY(_UUID)), bindparam("reason", type_=Text)
)
_HOLD = text(
    """
UPDATE tasks t
   SET next_fire_at = LEAST(app_now() + make_interval(secs => :window),
                            (SELECT min(e.received_at) FROM inbound_events e
                              WHERE e.workspace_id = t.workspace_id AND e.task_id = t.id AND e.outcome = 'held')
                            + make_interval(secs => :most))
 WHERE t.workspace_id = :workspace_id AND t.id = :task_id
"""
)
_NOTIFY = text("SELECT pg_notify('sixlane_schedules', '')")
_COUNT = Direct(
    text(
        """
SELECT e.task_id, count(*)::int AS events,
       GREATEST(1, ceil(extract(epoch FROM min(e.received_at) + interval '1 minute' - app_now())))::int AS seconds
  FROM inbound_events e
 WHERE e.task_id = ANY(:ids) AND e.received_at > app_now() - interval '1 minute' AND e.outcome <> 'filtered'
 GROUP BY e.task_id
"""
    ).bindparams(bindparam("ids", type_=ARRAY(_UUID))),
    column("task_id", _UUID),
    column("events"),
    column("seconds"),
)
_HELD = Direct(
    text(
        f"""
SELECT {_EVENT_NAMES} FROM inbound_events e
 WHERE e.workspace_id = :workspace_id AND e.task_id = :task_id AND e.outcome = 'held'
 ORDER BY e.id LIMIT :most FOR UPDATE
"""
    ).bindparams(bindparam("workspace_id", type_=_UUID), bindparam("task_id", type_=_UUID)),
    *_EVENT,
)
_MERGE = text(
    """
UPDATE inbound_events SET outcome = 'merged', run_id = :run_id
 WHERE workspace_id = :workspace_id AND id = ANY(:ids)
"""
).bindparams(
    bindparam("ids", type_=ARRAY(_UUID)), bindparam("run_id", type_=_UUID), bindparam("workspace_id", type_=_UUID)
)
_AGAIN = text(
    """
UPDATE tasks t
   SET next_fire_at = CASE WHEN EXISTS (
        SELECT FROM inbound_events e
         WHERE e.workspace_id = t.workspace_id AND e.task_id = t.id AND e.outcome = 'held')
       THEN app_now() + make_interval(secs => :seconds) END
 WHERE t.workspace_id = :workspace_id AND t.id = :task_id
"""
)
_FORGET = text(
    """
DELETE FROM inbound_events WHERE ctid IN (
    SELECT ctid FROM inbound_events
     WHERE received_at < app_now() - make_interval(days => :days) AND outcome <> 'held' LIMIT :batch)
"""
)
_FORGET_SECRETS = text("DELETE FROM webhook_secrets WHERE expires_at < app_now() - interval '1 day'")


@dataclass(frozen=True, slots=True)
class Standing:
    """A task as it stands: its row, its sealed live secrets (id, sealed), and the ledger's time."""

    task: Task
    secrets: tuple[tuple[UUID, bytes], ...]
    now: datetime


class TriggerStore:
    """Queries over all workspaces: every row names its own."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def standing(self, task_ids: Sequence[UUID]) -> dict[UUID, Standing]:
        """Those of the tasks that are there and not deleted, whatever their pattern."""
        found = await _STANDING.rows(self._connection, {"ids": list(task_ids)})
        width = len(_TASK)
        standing: dict[UUID, Standing] = {}
        for row in found:
            now, ids, sealed = row[width:]
            standing[row[1]] = Standing(Task(*row[:width]), tuple(zip(ids, sealed, strict=True)), now)
        return standing

    async def add(self, events: Sequence[dict[str, Any]]) -> set[UUID]:
        """Insert events in one statement; the ids of those that had not come before."""
        rows = await _ADD.rows(
            self._connection,
            {
                "workspaces": [one["workspace_id"] for one in events],
                "ids": [one["id"] for one in events],
                "tasks": [one["task_id"] for one in events],
                "keys": [one["dedup_key"] for one in events],
                "bodies": [one["body"] for one in events],
                "types": [one["content_type"] for one in events],
                "headers": [dumps(one["headers"]) for one in events],
                "schemes": [one["scheme"] for one in events],
                "outcomes": [one["outcome"] for one in events],
                "reasons": [one["reason"] for one in events],
                "runs": [one["run_id"] for one in events],
            },
        )
        return {row[0] for row in rows}

    async def earlier(self, keys: Sequence[tuple[UUID, UUID, str]]) -> dict[tuple[UUID, str], InboundEvent]:
        """Events by (workspace, task, deduplication key) as far as they are there; by task and key."""
        asked = {
            "workspaces": [one[0] for one in keys],
            "tasks": [one[1] for one in keys],
            "keys": [one[2] for one in keys],
        }
        found = [InboundEvent(*row) for row in await _EARLIER.rows(self._connection, asked)]
        return {(one.task_id, one.dedup_key): one for one in found}

    async def note(self, event_ids: Sequence[UUID], reason: str) -> None:
        """Say something about events that nothing is said about yet."""
        await self._connection.execute(_NOTE, {"ids": list(event_ids), "reason": reason})

    async def counts(self, task_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
        """For each task: events of the last minute that passed its filter, seconds until the oldest is past."""
        rows = await _COUNT.rows(self._connection, {"ids": list(task_ids)})
        return {row[0]: (row[1], row[2]) for row in rows}

    async def hold(self, workspace_id: UUID, task_id: UUID, window: float, most: float) -> None:
        """Let the task's held events begin their run `window` seconds from now, `most` after the first of them."""
        given = {"workspace_id": workspace_id, "task_id": task_id, "window": window, "most": most}
        await self._connection.execute(_HOLD, given)
        await self._connection.execute(_NOTIFY)

    async def held(self, workspace_id: UUID, task_id: UUID, most: int) -> list[InboundEvent]:
        """The oldest held events of a task, locked."""
        given = {"workspace_id": workspace_id, "task_id": task_id, "most": most}
        return [InboundEvent(*row) for row in await _HELD.rows(self._connection, given)]

    async def merge(self, workspace_id: UUID, event_ids: Sequence[UUID], run_id: UUID) -> None:
        """Give held events to a run."""
        given = {"workspace_id": workspace_id, "ids": list(event_ids), "run_id": run_id}
        await self._connection.execute(_MERGE, given)

    async def fire_again(self, workspace_id: UUID, task_id: UUID, seconds: float) -> None:
        """Let the task fire in so many seconds if it still holds events, else not before the next one comes."""
        given = {"workspace_id": workspace_id, "task_id": task_id, "seconds": seconds}
        await self._connection.execute(_AGAIN, given)

    async def forget(self, days: int, batch: int) -> int:
        """Delete events older than `days`, at most `batch`, and secrets that ended; how many events went."""
        await self._connection.execute(_FORGET_SECRETS)
        return (await self._connection.execute(_FORGET, {"days": days, "batch": batch})).rowcount
