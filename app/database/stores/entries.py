"""The log of conversations: Pydantic AI's ConversationStore on the ledger, scoped to one workspace."""

import dataclasses
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pydantic_core
from pydantic import TypeAdapter
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Text, Uuid

from app.models.conversation import Entry
from app.models.ids import new_id

FORMAT = 1
"""The format in which messages are written now. Raise it when the writer's format changes, and add an upcaster."""

_USAGE = TypeAdapter(RunUsage)
_DEFERRED: TypeAdapter[DeferredToolRequests | None] = TypeAdapter(DeferredToolRequests | None)

_LINE = """
WITH RECURSIVE line AS (
    SELECT e.*, 1 AS depth FROM entries e WHERE e.workspace_id = :workspace_id AND e.id = {head}
    UNION ALL
    SELECT e.*, l.depth + 1 FROM line l CROSS JOIN LATERAL (
        SELECT * FROM entries e WHERE e.workspace_id = :workspace_id AND e.id = l.parent_id LIMIT 1) e
     WHERE l.depth < :most
)
"""
"""LIMIT makes it one look into the index for each step; without it, a new table's statistics mislead the planner."""

_HEAD_OF = "(SELECT head_id FROM conversations WHERE workspace_id = :workspace_id AND id = :id)"

_LOAD = text(
    _LINE.format(head=_HEAD_OF)
    + """
SELECT c.head_id, c.revision, c.usage, c.deferred, c.branches, c.forked_from, c.forked_at, c.updated_at,
       c.context_data, c.targets, c.grants, c.client_tools, c.summary_id, h.ids, h.parents, h.formats, h.messages
  FROM conversations c
 CROSS JOIN (SELECT array_agg(id ORDER BY depth DESC) AS ids, array_agg(parent_id ORDER BY depth DESC) AS parents,
                    array_agg(format ORDER BY depth DESC) AS formats,
                    '[' || string_agg(message::text, ',' ORDER BY depth DESC) || ']' AS messages FROM line) h
 WHERE c.workspace_id = :workspace_id AND c.id = :id
"""
)
_RECORDS = text(
    """
SELECT id, head_id, revision, usage, deferred, branches, forked_from, forked_at, updated_at FROM conversations
 WHERE workspace_id = :workspace_id AND revision IS NOT NULL AND (CAST(:id AS uuid) IS NULL OR id = :id)
 ORDER BY updated_at DESC LIMIT :most
"""
)
_HISTORY = text(_LINE.format(head="CAST(:head AS uuid)") + "SELECT * FROM line ORDER BY depth DESC")
_HISTORY_OF = text(_LINE.format(head=_HEAD_OF) + "SELECT * FROM line ORDER BY depth DESC")
_WRITE = text(
    """
WITH written AS (
    UPDATE conversations
       SET head_id = :head_id, revision = :revision, usage = :usage, deferred = :deferred, branches = :branches,
           forked_from = :forked_from, forked_at = :forked_at, updated_at = app_now()
     WHERE workspace_id = :workspace_id AND id = :id AND revision IS NOT DISTINCT FROM CAST(:expected AS uuid)
    RETURNING 1
), added AS (
    INSERT INTO entries (workspace_id, id, parent_id, run_id, kind, format, message)
    SELECT :workspace_id, n.id, n.parent_id, CAST(:run_id AS uuid), 'message', :format, n.message::jsonb
      FROM written, unnest(:ids, :parents, :messages) AS n(id, parent_id, message)
)
SELECT count(*) FROM written
"""
).bindparams(
    bindparam("usage", type_=JSONB),
    bindparam("deferred", type_=JSONB(none_as_null=True)),
    bindparam("branches", type_=ARRAY(Uuid(as_uuid=True))),
    bindparam("ids", type_=ARRAY(Uuid(as_uuid=True))),
    bindparam("parents", type_=ARRAY(Uuid(as_uuid=True))),
    bindparam("messages", type_=ARRAY(Text)),
)
_ADOPT_CHILDREN = text(
    "UPDATE conversations SET forked_from = :forked_from WHERE workspace_id = :workspace_id AND forked_from = :id"
)
_ERASE = text(
    """
WITH RECURSIVE kin AS (
    SELECT id FROM conversations WHERE workspace_id = :workspace_id AND id = ANY(:family)
), kept AS (
    SELECT e.id, e.parent_id FROM conversations c
      JOIN entries e ON e.workspace_id = c.workspace_id AND (e.id = c.head_id OR e.id = ANY(c.branches))
     WHERE c.workspace_id = :workspace_id AND c.id IN (SELECT id FROM kin)
    UNION
    SELECT e.id, e.parent_id FROM kept k JOIN entries e ON e.workspace_id = :workspace_id AND e.id = k.parent_id
), gone AS (
    SELECT e.id, e.parent_id FROM entries e WHERE e.workspace_id = :workspace_id AND e.id = ANY(:tips)
    UNION
    SELECT e.id, e.parent_id FROM gone g JOIN entries e ON e.workspace_id = :workspace_id AND e.id = g.parent_id
), doomed AS (
    SELECT id FROM gone EXCEPT SELECT id FROM kept
)
DELETE FROM entries WHERE workspace_id = :workspace_id AND id IN (
    SELECT id FROM doomed
    UNION ALL
    SELECT s.id FROM doomed d
      JOIN entries s ON s.workspace_id = :workspace_id AND s.parent_id = d.id AND s.kind = 'summary')
"""
).bindparams(bindparam("family", type_=ARRAY(Uuid(as_uuid=True))), bindparam("tips", type_=ARRAY(Uuid(as_uuid=True))))
_FAMILY = text(
    """
WITH RECURSIVE edges AS (
    SELECT id, forked_from FROM conversations WHERE workspace_id = :workspace_id AND forked_from IS NOT NULL
), family AS (
    SELECT CAST(:id AS uuid) AS id
    UNION
    SELECT CASE WHEN e.id = f.id THEN e.forked_from ELSE e.id END FROM family f
      JOIN edges e ON e.id = f.id OR e.forked_from = f.id
)
SELECT id FROM family WHERE id <> :id
"""
)
_LOCK_FORKS = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('forks:' || CAST(CAST(:workspace_id AS uuid) AS text), 0))"
)
_EVERYTHING = 1_000_000


def read_messages(documents: str | bytes, formats: Sequence[int]) -> list[ModelMessage]:
    """Messages from their stored JSON (one array), whatever format each was written in."""
    if all(number == FORMAT for number in formats):
        return ModelMessagesTypeAdapter.validate_json(documents)
    raw = pydantic_core.from_json(documents)
    return ModelMessagesTypeAdapter.validate_python([upcast(m, n) for m, n in zip(raw, formats, strict=True)])


def record_of(workspace_id: UUID, conversation_id: str, row: Any) -> ConversationRecord:
    """The record of a conversation, from a row that has its columns."""
    return ConversationRecord(
        conversation_id=conversation_id,
        head_id=str(row.head_id) if row.head_id else None,
        usage=_USAGE.validate_python(row.usage),
        deferred_tool_requests=_DEFERRED.validate_python(row.deferred),
        scope=str(workspace_id),
        forked_from=str(row.forked_from) if row.forked_from else None,
        forked_at=str(row.forked_at) if row.forked_at else None,
        branches=[str(tip) for tip in row.branches],
        revision=str(row.revision),
        updated_at=row.updated_at,
    )


def usage_of(usage: RunUsage) -> dict[str, Any]:
    """A conversation's usage as its row keeps it."""
    return _USAGE.dump_python(usage, mode="json")


def upcast(message: dict[str, Any], written: int) -> dict[str, Any]:
    """Bring one stored message from the format it was written in to the present one.

    Raises ValueError for a format that this version does not know: a newer one wrote it.
    """
    if written == 0:
        # Format 0 is the bare list of role and text that imports bring along.
        role, content = message["role"], message["content"]
        part_kind = "user-prompt" if role == "user" else "text"
        return {
            "kind": "request" if role == "user" else "response",
            "parts": [{"part_kind": part_kind, "content": content}],
        }
    if written == FORMAT:
        return message
    raise ValueError(f"message format {written} is newer than this version of Sixlane reads")


class ConversationLog(ConversationStore):
    """Loads a conversation in one statement and appends to it under its revision, in the unit's transaction.

    One instance serves one unit of one run: the record that it loaded or wrote last is the one it compares with,
    so a checkpoint costs one statement. Every statement carries the workspace; a scope is not needed.
    `delete` removes the entries that no other conversation reaches.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        workspace_id: UUID,
        *,
        run_id: UUID | None = None,
        record: ConversationRecord | None = None,
    ) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
        self._run_id = run_id
        self.record = record
        self.context_data: dict[str, Any] = {}
        self.targets: list[dict[str, Any]] = []
        self.grants: dict[str, Any] = {}
        self.client_tools: list[dict[str, Any]] = []
        self.summary_id: UUID | None = None

    async def _read(
        self, conversation_id: str, *, limit: int | None = None, scope: str | None = None
    ) -> tuple[ConversationRecord, list[ConversationEntry]] | None:
        if limit is not None and limit < 0:
            raise UserError("`limit` must not be negative.")
        if scope is not None and scope != str(self._workspace_id):
            return None
        values = {"id": UUID(conversation_id), "most": _EVERYTHING if limit is None else max(limit, 1)}
        row = (await self._execute(_LOAD, values)).one_or_none()
        if row is None:
            return None
        self.context_data, self.targets, self.grants = row.context_data, row.targets, row.grants
        self.client_tools = row.client_tools
        self.summary_id = row.summary_id
        if row.revision is None:
            return None
        self.record = record_of(self._workspace_id, conversation_id, row)
        if row.ids is None or limit == 0:
            return self.record, []
        messages = read_messages(row.messages, row.formats)
        history = [
            ConversationEntry(id=str(entry_id), parent_id=str(parent) if parent else None, message=message)
            for entry_id, parent, message in zip(row.ids, row.parents, messages, strict=True)
        ]
        return self.record, history

    async def append(
        self,
        record: ConversationRecord,
        messages: Sequence[ModelMessage],
        ids: Sequence[UUID],
        *,
        usage: RunUsage,
        deferred: DeferredToolRequests | None,
        stored: bool = True,
    ) -> ConversationRecord:
        """Append messages after the record's head, as entries with the given ids; returns the new record.

        `record` is not changed, so a caller whose commit failed can try again with it. `stored` is false for a
        conversation that has no record yet. Raises ConversationConflict when somebody else wrote meanwhile.
        """
        entries: list[ConversationEntry] = []
        parent = record.head_id
        for entry_id, message in zip(ids, messages, strict=True):
            entry = ConversationEntry(id=str(entry_id), parent_id=parent, message=message)
            entries.append(entry)
            parent = entry.id
        following = dataclasses.replace(
            record, head_id=parent, usage=usage, deferred_tool_requests=deferred, revision=str(new_id())
        )
        await self.write_record(following, new_entries=entries, expected_revision=record.revision if stored else None)
        return following

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The record; the one at hand when this instance has loaded or written it."""
        if self.record is not None and self.record.conversation_id == conversation_id:
            return self.record
        rows = await self._execute(_RECORDS, {"id": UUID(conversation_id), "most": 1})
        row = rows.one_or_none()
        return record_of(self._workspace_id, conversation_id, row) if row else None

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        """The workspace's records, the last saved first."""
        if scope is not None and scope != str(self._workspace_id):
            return []
        rows = await self._execute(_RECORDS, {"id": None, "most": _EVERYTHING if limit is None else limit})
        return [record_of(self._workspace_id, str(row.id), row) for row in rows]

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """The entries up to `head_id` in order, in one statement."""
        if head_id is None or limit == 0:
            return []
        rows = await self._execute(_HISTORY, {"head": UUID(head_id), "most": _EVERYTHING if limit is None else limit})
        history = [self._to_entry(row) for row in rows]
        if not history:
            raise LookupError(head_id)
        return history

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """One entry. Raises LookupError when there is none."""
        return (await self.read_history(entry_id, limit=1))[0]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Append entries and replace the record in one statement; nothing stays behind on a conflict.

        The conversation's row exists (a service made it); one without a revision counts as not stored yet.
        """
        if expected_revision is None and record.forked_from is not None:
            await self._execute(_LOCK_FORKS, {})
        written = await self._execute(
            _WRITE,
            {
                "id": UUID(record.conversation_id),
                "head_id": _uuid(record.head_id),
                "revision": UUID(record.revision),
                "usage": usage_of(record.usage),
                "deferred": _DEFERRED.dump_python(record.deferred_tool_requests, mode="json"),
                "branches": [UUID(tip) for tip in record.branches],
                "forked_from": _uuid(record.forked_from),
                "forked_at": _uuid(record.forked_at),
                "expected": _uuid(expected_revision),
                "run_id": self._run_id,
                "format": FORMAT,
                "ids": [UUID(entry.id) for entry in new_entries],
                "parents": [_uuid(entry.parent_id) for entry in new_entries],
                "messages": [document(entry.message) for entry in new_entries],
            },
        )
        if not written.scalar_one():
            raise ConversationConflict(record.conversation_id)
        self.record = record

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete the conversation and the entries that no other conversation reaches."""
        row = await self.read_record(conversation_id)
        if row is None or row.revision != expected_revision:
            raise ConversationConflict(conversation_id)
        await self.erase(UUID(conversation_id))

    async def erase(self, conversation_id: UUID) -> None:
        """Erase a conversation for good: its row (its runs go with it) and every entry that only it reaches.

        Forks of it keep what they share and are adopted by the conversation that it came from.
        """
        await self._execute(_LOCK_FORKS, {})
        family = [row.id for row in await self._execute(_FAMILY, {"id": conversation_id})]
        found = await self._execute(
            text(
                "DELETE FROM conversations WHERE workspace_id = :workspace_id AND id = :id "
                "RETURNING head_id, branches, forked_from"
            ),
            {"id": conversation_id},
        )
        row = found.one_or_none()
        if row is None:
            return
        await self._execute(_ADOPT_CHILDREN, {"id": conversation_id, "forked_from": row.forked_from})
        tips = [tip for tip in [row.head_id, *row.branches] if tip is not None]
        await self._execute(_ERASE, {"family": family, "tips": tips})
        self.record = None

    async def entries(self, conversation_id: UUID) -> list[Entry]:
        """Every entry of the conversation's present line, oldest first, with the run that wrote it."""
        rows = await self._execute(_HISTORY_OF, {"id": conversation_id, "most": _EVERYTHING})
        return [
            Entry(r.workspace_id, r.id, r.parent_id, r.run_id, r.kind, r.format, r.message, r.created_at) for r in rows
        ]

    def _to_entry(self, row: Any) -> ConversationEntry:
        message: dict[str, Any] = row.message
        parent = str(row.parent_id) if row.parent_id else None
        (read,) = ModelMessagesTypeAdapter.validate_python([upcast(message, row.format)])
        return ConversationEntry(id=str(row.id), parent_id=parent, message=read)

    async def _execute(self, statement: Any, values: dict[str, Any]) -> Any:
        return await self._connection.execute(statement, {"workspace_id": self._workspace_id, **values})


def _uuid(value: str | None) -> UUID | None:
    return UUID(value) if value else None


def document(message: ModelMessage) -> str:
    """A message as an entry keeps it: JSON in the present format, without what says nothing or is known anyway.

    Instructions are left out: they are those of the agent's version, and each run gives them anew.
    """
    (whole,) = ModelMessagesTypeAdapter.dump_python([message], mode="json")
    kept = _told({name: value for name, value in whole.items() if name not in ("instructions", "conversation_id")})
    kept["parts"] = [_told(part) for part in kept["parts"]]
    if kept.get("state") == "complete":
        del kept["state"]
    if "usage" in kept:
        kept["usage"] = {name: value for name, value in kept["usage"].items() if value}
    return pydantic_core.to_json(kept).decode()


def _told(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields without those that say nothing; reading puts the nulls back. A tool may well have answered null."""
    return {name: value for name, value in fields.items() if value is not None or name == "content"}
