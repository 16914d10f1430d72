"""Summaries of conversations, within one workspace. Each is an entry whose parent is the last one that it covers."""

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import bindparam

from app.models.summary import Summary

FORMAT = 1
_TOLD = ("text", "responses", "entries", "before_response", "model", "usage")

_GET = text(
    """
SELECT id, parent_id, run_id, message FROM entries
 WHERE workspace_id = :workspace_id AND id = :id AND kind = 'summary'
"""
)
_LINE = """
WITH RECURSIVE line AS (
    SELECT e.id, e.parent_id, e.message ->> 'kind' AS kind, 1 AS depth FROM entries e
     WHERE e.workspace_id = :workspace_id AND e.id = (
        SELECT head_id FROM conversations WHERE workspace_id = :workspace_id AND id = :id)
    UNION ALL
    SELECT e.*, l.depth + 1 FROM line l CROSS JOIN LATERAL (
        SELECT e.id, e.parent_id, e.message ->> 'kind' AS kind FROM entries e
         WHERE e.workspace_id = :workspace_id AND e.id = l.parent_id LIMIT 1) e
)
"""
_KINDS = text(_LINE + "SELECT id, kind FROM line ORDER BY depth DESC")
_ADD = text(
    """
WITH noted AS (
    UPDATE conversations SET summary_id = :id WHERE workspace_id = :workspace_id AND id = :conversation_id
)
INSERT INTO entries (workspace_id, id, parent_id, run_id, kind, format, message)
VALUES (:workspace_id, :id, :parent_id, :run_id, 'summary', :format, :message)
    ON CONFLICT DO NOTHING
"""
).bindparams(bindparam("message", type_=JSONB))
_POINT = text(
    _LINE
    + """
UPDATE conversations SET summary_id = (
    SELECT s.id FROM line l
      JOIN entries s ON s.workspace_id = :workspace_id AND s.parent_id = l.id AND s.kind = 'summary'
     ORDER BY l.depth, s.id DESC LIMIT 1)
 WHERE workspace_id = :workspace_id AND id = :id
"""
)


class SummaryStore:
    """Queries over the summaries of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def get(self, summary_id: UUID) -> Summary | None:
        """The summary, or None when there is none with that id."""
        row = (await self._execute(_GET, id=summary_id)).one_or_none()
        if row is None:
            return None
        return Summary(row.id, row.parent_id, run_id=row.run_id, **{name: row.message[name] for name in _TOLD})

    async def line(self, conversation_id: UUID) -> list[tuple[UUID, str]]:
        """Id and kind (request, response) of every entry of the conversation's present line, the oldest first."""
        return [(row.id, row.kind) for row in await self._execute(_KINDS, id=conversation_id)]

    async def add(self, conversation_id: UUID, summary: Summary) -> None:
        """Store a summary and make it the conversation's; the same one twice is stored once."""
        await self._execute(
            _ADD,
            conversation_id=conversation_id,
            id=summary.id,
            parent_id=summary.last_id,
            run_id=summary.run_id,
            format=FORMAT,
            message={"kind": "summary", **{name: getattr(summary, name) for name in _TOLD}},
        )

    async def point(self, conversation_id: UUID) -> None:
        """Point a conversation whose line has changed to the newest summary of that line, or to none."""
        await self._execute(_POINT, id=conversation_id)

    async def _execute(self, statement: Any, **values: Any) -> Any:
        return await self._connection.execute(statement, {"workspace_id": self._workspace_id, **values})
