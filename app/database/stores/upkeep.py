"""Retention: what may be forgotten, deleted in batches so that nobody waits."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_EVENTS = text(
    """
DELETE FROM run_events e USING (
    SELECT e.workspace_id, e.run_id, e.first_seq FROM run_events e
      JOIN runs r ON r.workspace_id = e.workspace_id AND r.id = e.run_id
     WHERE r.completed_at < app_now() - make_interval(days => :days) LIMIT :batch) old
 WHERE e.workspace_id = old.workspace_id AND e.run_id = old.run_id AND e.first_seq = old.first_seq
"""
)
_JOURNAL = text(
    """
DELETE FROM tool_calls t USING (
    SELECT t.workspace_id, t.run_id, t.step, t.tool_call_id FROM tool_calls t
      JOIN runs r ON r.workspace_id = t.workspace_id AND r.id = t.run_id
     WHERE r.completed_at < app_now() - make_interval(days => :days) LIMIT :batch) old
 WHERE t.workspace_id = old.workspace_id AND t.run_id = old.run_id
   AND t.step = old.step AND t.tool_call_id = old.tool_call_id
"""
)
_CONVERSATIONS = text(
    """
WITH RECURSIVE expired AS MATERIALIZED (
    SELECT workspace_id, id, head_id, branches FROM conversations c
     WHERE expires_at < app_now() AND NOT EXISTS (
        SELECT 1 FROM runs r WHERE r.workspace_id = c.workspace_id AND r.conversation_id = c.id
           AND r.status IN ('queued', 'running', 'waiting'))
     LIMIT :batch FOR UPDATE SKIP LOCKED
), line AS (
    SELECT e.workspace_id, e.id, e.parent_id FROM expired x
      JOIN entries e ON e.workspace_id = x.workspace_id AND (e.id = x.head_id OR e.id = ANY(x.branches))
    UNION
    SELECT e.workspace_id, e.id, e.parent_id FROM line l
      JOIN entries e ON e.workspace_id = l.workspace_id AND e.id = l.parent_id
), gone AS (
    DELETE FROM entries e USING line l WHERE e.workspace_id = l.workspace_id AND e.id = l.id
)
DELETE FROM conversations c USING expired x WHERE c.workspace_id = x.workspace_id AND c.id = x.id
"""
)
"""A fork of such a conversation makes it an ordinary one first, so nothing here is shared."""

_KEYS = text(
    """
DELETE FROM idempotency_keys WHERE ctid IN (
    SELECT ctid FROM idempotency_keys WHERE created_at < app_now() - interval '24 hours' LIMIT :batch)
"""
)
_UNHEARD = text(
    """
SELECT id, lane FROM runs WHERE status = 'queued' AND available_at <> 'infinity'
   AND available_at < app_now() - interval '3 seconds'
UNION ALL
SELECT id, lane FROM runs WHERE status = 'running' AND lease_until < app_now()
 LIMIT :batch
"""
)
_PROCESSES = text("DELETE FROM processes WHERE heartbeat_at < app_now() - interval '1 day'")


class UpkeepStore:
    """Deletes over all workspaces. Each call removes one batch and says how many rows went."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def forget_events(self, days: int, batch: int) -> int:
        """Events of runs that ended more than `days` ago."""
        return (await self._connection.execute(_EVENTS, {"days": days, "batch": batch})).rowcount

    async def forget_journal(self, days: int, batch: int) -> int:
        """Tool calls of runs that ended more than `days` ago."""
        return (await self._connection.execute(_JOURNAL, {"days": days, "batch": batch})).rowcount

    async def forget_conversations(self, batch: int) -> int:
        """Conversations that were made for one answer, past their time, with their runs and their log."""
        return (await self._connection.execute(_CONVERSATIONS, {"batch": batch})).rowcount

    async def forget_idempotency_keys(self, batch: int) -> int:
        """Idempotency keys older than 24 hours."""
        return (await self._connection.execute(_KEYS, {"batch": batch})).rowcount

    async def forget_processes(self) -> int:
        """Processes that have not been heard of for a day."""
        return (await self._connection.execute(_PROCESSES)).rowcount

    async def unheard(self, batch: int) -> list[tuple[UUID, str]]:
        """Runs (id, lane) that could have been claimed for some seconds and were not."""
        return [(row[0], row[1]) for row in await self._connection.execute(_UNHEARD, {"batch": batch})]
