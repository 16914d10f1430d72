"""The statements of a turn that nothing stands in the way of: opened, begun and completed with one each."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, column, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Boolean, Float, Integer, SmallInteger, Text, Uuid

from app.database.direct import Direct
from app.database.models import conversations, runs
from app.database.rows import columns_of
from app.models.conversation import Conversation
from app.models.run import Run
from app.models.turn import Caps, Completion, OpenConversation

SLACK = 32
"""How far below its caps a run is begun without the claim lock. More than so many runs of one user would have to be
written in the same instant to overshoot one."""

_CONVERSATION = columns_of(conversations, Conversation)
_RUN = columns_of(runs, Run)
_UUID = Uuid(as_uuid=True)
_BORN = (
    "id",
    "conversation_id",
    "task_id",
    "user_id",
    "pattern",
    "agent",
    "agent_version",
    "model",
    "lane",
    "max_attempts",
    "checkpoints",
    "priority",
    "parent_run_id",
    "root_run_id",
    "trigger",
    "input",
    "limits",
    "taint",
    "streamed",
    "created_by",
)


def _names(columns: Sequence[Any], table: str) -> str:
    return ", ".join(f"{table}.{one.name}" for one in columns)


_OPEN = Direct(
    text(
        f"""
WITH RECURSIVE line AS (
    SELECT e.id, e.parent_id, e.format, e.message, 1 AS depth FROM entries e
     WHERE e.workspace_id = :workspace_id
       AND e.id = (SELECT head_id FROM conversations WHERE workspace_id = :workspace_id AND id = :id)
    UNION ALL
    SELECT e.*, l.depth + 1 FROM line l CROSS JOIN LATERAL (
        SELECT e.id, e.parent_id, e.format, e.message FROM entries e
         WHERE e.workspace_id = :workspace_id AND e.id = l.parent_id LIMIT 1) e
)
SELECT {_names(_CONVERSATION, "c")}, h.tip, h.formats, h.messages
  FROM conversations c
 CROSS JOIN (SELECT (array_agg(id) FILTER (WHERE depth = 1))[1] AS tip,
                    array_agg(format ORDER BY depth DESC) AS formats,
                    '[' || string_agg(message::text, ',' ORDER BY depth DESC) || ']' AS messages FROM line) h
 WHERE c.workspace_id = :workspace_id AND c.id = :id
   FOR UPDATE OF c
"""
    ).bindparams(bindparam("workspace_id", type_=_UUID), bindparam("id", type_=_UUID)),
    *_CONVERSATION,
    column("tip", _UUID),
    column("formats", ARRAY(SmallInteger)),
    column("messages", Text),
)

_BEGIN = Direct(
    text(
        f"""
WITH clock AS MATERIALIZED (SELECT app_now() AS now)
INSERT INTO runs AS r (workspace_id, {", ".join(_BORN)}, status, holds_conversation, lease_owner, lease_until, fence,
                       attempt, created_at, available_at, started_at)
SELECT :workspace_id, {", ".join(f":{name}" for name in _BORN)}, 'running', true, :owner,
       clock.now + make_interval(secs => :lease), 1, 1, clock.now, clock.now, clock.now
  FROM clock,
       (SELECT count(*) FILTER (WHERE user_id = :user_id) AS of_user,
               count(*) FILTER (WHERE agent = :agent) AS of_agent, count(*) AS of_workspace
          FROM runs WHERE status = 'running' AND lane = :lane AND workspace_id = :workspace_id) n
 WHERE NOT EXISTS (SELECT 1 FROM runs WHERE workspace_id = :workspace_id AND conversation_id = :conversation_id
                      AND status IN ('queued', 'running', 'waiting'))
   AND (:per_user = 0 OR n.of_user + {SLACK} <= :per_user)
   AND (:per_agent = 0 OR n.of_agent + {SLACK} <= :per_agent)
   AND (:per_workspace = 0 OR n.of_workspace + {SLACK} <= :per_workspace)
RETURNING {_names(_RUN, "r")}
"""
    ).bindparams(
        bindparam("workspace_id", type_=_UUID),
        bindparam("owner", type_=Text),
        bindparam("lease", type_=Float),
        bindparam("per_user", type_=Integer),
        bindparam("per_agent", type_=Integer),
        bindparam("per_workspace", type_=Integer),
        *(bindparam(name, type_=runs.c[name].type) for name in _BORN),
    ),
    *_RUN,
)

_COMPLETE = Direct(
    text(
        """
WITH clock AS MATERIALIZED (
    SELECT app_now() AS now
), locked AS MATERIALIZED (
    SELECT workspace_id, id FROM conversations WHERE workspace_id = :workspace_id AND id = :conversation_id FOR UPDATE
), ended AS (
    UPDATE runs r
       SET status = 'completed', status_reason = NULL, status_detail = NULL, waiting_on = NULL, lease_owner = NULL,
           lease_until = NULL, completed_at = clock.now, holds_conversation = false, checkpoints = :checkpoints,
           usage = :run_usage, taint = :taint, last_seq = :last_seq
      FROM locked l, clock
     WHERE r.workspace_id = l.workspace_id AND r.id = :run_id AND r.status = 'running' AND r.fence = :fence
    RETURNING r.completed_at, r.cancel_requested_at
), logged AS (
    UPDATE conversations c
       SET head_id = :head_id, revision = :revision, usage = :usage, taint = :taint, deferred = NULL,
           updated_at = ended.completed_at
      FROM ended
     WHERE c.workspace_id = :workspace_id AND c.id = :conversation_id AND c.revision IS NOT DISTINCT FROM :expected
    RETURNING c.updated_at
), added AS (
    INSERT INTO entries (workspace_id, id, parent_id, run_id, format, message, created_at)
    SELECT :workspace_id, n.id, n.parent_id, :run_id, :format, n.message::jsonb, logged.updated_at
      FROM logged, unnest(:ids, :parents, :messages) AS n(id, parent_id, message)
), answered AS (
    INSERT INTO run_results AS was (workspace_id, run_id, text, data, entry_id, created_at)
    SELECT :workspace_id, :run_id, :text, :data, :entry_id, updated_at FROM logged
    ON CONFLICT (workspace_id, run_id) DO UPDATE
       SET text = excluded.text, data = excluded.data, error = NULL, entry_id = excluded.entry_id,
           created_at = excluded.created_at
), told AS (
    INSERT INTO run_events AS was (workspace_id, run_id, first_seq, last_seq, events)
    SELECT :workspace_id, :run_id, :first_seq, :last_seq, CAST(:events AS jsonb) FROM logged
    ON CONFLICT (workspace_id, run_id, first_seq) DO UPDATE SET last_seq = excluded.last_seq, events = excluded.events
     WHERE excluded.last_seq >= was.last_seq
)
SELECT ended.* FROM ended, logged
"""
    ).bindparams(
        *(bindparam(name, type_=_UUID) for name in ("workspace_id", "conversation_id", "run_id", "head_id")),
        *(bindparam(name, type_=_UUID) for name in ("revision", "expected", "entry_id")),
        *(bindparam(name, type_=Integer) for name in ("checkpoints", "fence", "first_seq", "last_seq")),
        *(bindparam(name, type_=Text) for name in ("text", "events")),
        *(bindparam(name, type_=ARRAY(_UUID)) for name in ("ids", "parents")),
        *(bindparam(name, type_=ARRAY(Text)) for name in ("taint", "messages")),
        *(bindparam(name, type_=JSONB) for name in ("run_usage", "usage")),
        bindparam("data", type_=JSONB(none_as_null=True)),
        bindparam("format", type_=SmallInteger),
    ),
    runs.c.completed_at,
    runs.c.cancel_requested_at,
)

_RELEASE = Direct(
    text(
        """
WITH unread AS MATERIALIZED (
    SELECT EXISTS (SELECT 1 FROM steering WHERE workspace_id = :workspace_id AND run_id = :run_id
                      AND delivered_at IS NULL AND next_run_id IS NULL) AS some
), released AS (
    UPDATE runs SET available_at = app_now(), waiting_on = NULL
      FROM unread
     WHERE NOT unread.some AND workspace_id = :workspace_id AND status = 'queued' AND available_at = 'infinity'
       AND id = (
        SELECT id FROM runs
         WHERE workspace_id = :workspace_id AND conversation_id = :conversation_id
           AND status IN ('queued', 'running', 'waiting')
         ORDER BY holds_conversation DESC, available_at = 'infinity', priority DESC, id LIMIT 1)
    RETURNING id, lane
)
SELECT released.id, released.lane, unread.some FROM unread LEFT JOIN released ON true
"""
    ).bindparams(*(bindparam(name, type_=_UUID) for name in ("workspace_id", "conversation_id", "run_id"))),
    runs.c.id,
    runs.c.lane,
    column("some", Boolean),
)


class TurnStore:
    """The short way of a turn in one workspace. Whatever does not fit goes the long way through the other stores."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def open(self, conversation_id: UUID) -> OpenConversation | None:
        """Lock a conversation and read it with its whole log; None when this workspace has none with that id."""
        while True:
            row = await self._row(_OPEN, {"id": conversation_id})
            if row is None:
                return None
            *columns, tip, formats, messages = row
            found = Conversation(*columns)
            if tip == found.head_id:
                return OpenConversation(found, messages, formats or ())
            # The lock had to wait for somebody who wrote to the log: what was read beside it is older.

    async def begin(self, values: dict[str, Any], owner: str, lease_seconds: float, caps: Caps) -> Run | None:
        """Insert a run that executes at once. None when another run is active, or when a cap is near.

        The caller holds the conversation's lock.
        """
        limits = {"per_user": caps.per_user, "per_agent": caps.per_agent, "per_workspace": caps.per_workspace}
        born = {name: values[name] for name in _BORN}
        row = await self._row(_BEGIN, {**born, **limits, "owner": owner, "lease": lease_seconds})
        return Run(*row) if row else None

    async def complete(self, run: Run, head_id: UUID | None, expected: UUID | None, done: Completion) -> Run | None:
        """End a run under its fence: log, answer, events and state, where the log stands at `head_id`.

        None when the lease is lost or the log has another revision than `expected`; the caller rolls back then.
        """
        row = await self._row(_COMPLETE, _of_completion(run, head_id, expected, done))
        if row is None:
            return None
        completed_at, cancel_requested_at = row
        return replace(
            run,
            **done.progress,
            status="completed",
            status_reason=None,
            status_detail=None,
            waiting_on=None,
            holds_conversation=False,
            lease_owner=None,
            lease_until=None,
            last_seq=done.events.last_seq,
            completed_at=completed_at,
            cancel_requested_at=cancel_requested_at,
        )

    async def release(self, conversation_id: UUID, ended_id: UUID) -> tuple[tuple[UUID, str] | None, bool]:
        """Open the oldest parked run of a conversation for claims, when nothing is before it: its id and lane.

        Also whether there are messages that the ended run never read; nothing is opened then. The caller holds the
        conversation's lock, so a run that parks at the same time, or a message that is kept, is seen.
        """
        row = await self._row(_RELEASE, {"conversation_id": conversation_id, "run_id": ended_id})
        assert row is not None
        return (row[0], row[1]) if row[0] else None, row[2]

    async def _row(self, statement: Direct, values: dict[str, Any]) -> list[Any] | None:
        return await statement.row(self._connection, {"workspace_id": self._workspace_id, **values})


def _of_completion(run: Run, head_id: UUID | None, expected: UUID | None, done: Completion) -> dict[str, Any]:
    chain = [head_id, *done.ids]
    return {
        "conversation_id": run.conversation_id,
        "run_id": run.id,
        "fence": run.fence,
        "checkpoints": done.progress["checkpoints"],
        "run_usage": done.progress["usage"],
        "taint": done.progress["taint"],
        "first_seq": done.events.first_seq,
        "last_seq": done.events.last_seq,
        "events": done.events.rows,
        "head_id": chain[-1],
        "revision": done.revision,
        "expected": expected,
        "usage": done.usage,
        "ids": done.ids,
        "parents": chain[:-1],
        "messages": done.messages,
        "format": done.format,
        "text": done.text,
        "data": done.data,
        "entry_id": done.entry_id,
    }
