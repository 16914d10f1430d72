"""Conversations of one workspace: what is known of each besides its log."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, and_, bindparam, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import conversations, entries, runs
from app.database.rows import columns_of
from app.database.usage import usage_by
from app.models.conversation import Conversation

COLUMNS = columns_of(conversations, Conversation)
_STAIN = text(
    """
UPDATE conversations SET taint = ARRAY(SELECT DISTINCT one FROM unnest(taint || :taint) AS one ORDER BY one)
 WHERE workspace_id = :workspace_id AND id = :id AND NOT taint @> :taint
"""
).bindparams(bindparam("taint", type_=ARRAY(Text)))


class ConversationStore:
    """Queries over the conversations of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def add(self, values: dict[str, Any], *, days: int | None = None) -> Conversation:
        """Insert a conversation and return it as stored; with `days`, one that is erased after so many."""
        if days is not None:
            values = {**values, "expires_at": func.app_now() + timedelta(days=days)}
        statement = insert(conversations).values(workspace_id=self._workspace_id, **values).returning(*COLUMNS)
        return Conversation(*(await self._connection.execute(statement)).one())

    async def get(self, conversation_id: UUID) -> Conversation | None:
        """The conversation, or None when this workspace has none with that id."""
        found = (await self._connection.execute(select(*COLUMNS).where(self._is(conversation_id)))).one_or_none()
        return Conversation(*found) if found else None

    async def lock(self, conversation_id: UUID) -> Conversation | None:
        """The conversation, locked against other writers until the unit ends."""
        statement = select(*COLUMNS).where(self._is(conversation_id)).with_for_update()
        found = (await self._connection.execute(statement)).one_or_none()
        return Conversation(*found) if found else None

    async def head_is_request_of(self, conversation_id: UUID, run_id: UUID) -> bool:
        """Whether the log ends with a request of that run, so that another run could go on from there."""
        statement = (
            select(entries.c.id)
            .join(
                conversations,
                and_(conversations.c.workspace_id == entries.c.workspace_id, conversations.c.head_id == entries.c.id),
            )
            .where(
                self._is(conversation_id),
                entries.c.run_id == run_id,
                entries.c.message["kind"].as_string() == "request",
            )
        )
        return (await self._connection.execute(statement)).first() is not None

    async def change(self, conversation_id: UUID, values: dict[str, Any]) -> Conversation | None:
        """Set columns of the conversation; None when there is none."""
        statement = (
            update(conversations)
            .where(self._is(conversation_id))
            .values(updated_at=func.app_now(), **values)
            .returning(*COLUMNS)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return Conversation(*found) if found else None

    async def stain(self, conversation_id: UUID, taint: Sequence[str]) -> None:
        """Add to what others have written into the conversation; never taken back."""
        if not taint:
            return
        values = {"workspace_id": self._workspace_id, "id": conversation_id, "taint": list(taint)}
        await self._connection.execute(_STAIN, values)

    async def page(
        self, *, limit: int, after: UUID | None = None, user_id: UUID | None = None, pattern: str | None = None
    ) -> list[Conversation]:
        """Up to `limit` conversations, the newest first, older than `after`; none that was made for one answer."""
        statement = select(*COLUMNS).where(
            conversations.c.workspace_id == self._workspace_id, conversations.c.expires_at.is_(None)
        )
        if user_id is not None:
            statement = statement.where(conversations.c.user_id == user_id)
        if pattern is not None:
            statement = statement.where(conversations.c.pattern == pattern)
        if after is not None:
            statement = statement.where(conversations.c.id < after)
        statement = statement.order_by(conversations.c.id.desc()).limit(limit)
        return [Conversation(*row) for row in await self._connection.execute(statement)]

    async def heads(self, conversation_ids: list[UUID]) -> dict[UUID, tuple[UUID, str]]:
        """Id and status of the run at the head of each conversation; idle ones are left out."""
        statement = (
            select(runs.c.conversation_id, runs.c.id, runs.c.status)
            .ext(distinct_on(runs.c.conversation_id))
            .where(
                runs.c.workspace_id == self._workspace_id,
                runs.c.conversation_id.in_(conversation_ids),
                runs.c.status.in_(("queued", "running", "waiting")),
            )
            .order_by(runs.c.conversation_id, runs.c.holds_conversation.desc(), runs.c.id)
        )
        return {row.conversation_id: (row.id, row.status) for row in await self._connection.execute(statement)}

    async def usage(self, conversation_ids: list[UUID]) -> dict[UUID, dict[str, Any]]:
        """What the runs of each conversation used."""
        return await usage_by(self._connection, self._workspace_id, runs.c.conversation_id, conversation_ids)

    def _is(self, conversation_id: UUID) -> Any:
        return and_(conversations.c.workspace_id == self._workspace_id, conversations.c.id == conversation_id)
