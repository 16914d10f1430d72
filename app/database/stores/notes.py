"""Notes that agents keep for a user, within one workspace."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import notes
from app.database.rows import columns_of
from app.models.ids import new_id
from app.models.memory import Memory

COLUMNS = columns_of(notes, Memory)


class NoteStore:
    """Queries over the notes of one workspace. `agent` is empty for notes that all agents of a user share."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def remember(
        self,
        user_id: UUID,
        key: str,
        text: str,
        *,
        agent: str = "",
        taint: Sequence[str] = (),
        origin: tuple[UUID | None, UUID | None] = (None, None),
    ) -> None:
        """Keep a note under a key; a later note replaces an earlier one. `origin` is its run and conversation."""
        said = {"text": text, "taint": list(taint), "run_id": origin[0], "conversation_id": origin[1]}
        statement = upsert(notes).values(
            workspace_id=self._workspace_id, id=new_id(), user_id=user_id, agent=agent, key=key, **said
        )
        statement = statement.on_conflict_do_update(
            index_elements=["workspace_id", "user_id", "agent", "key"], set_={**said, "updated_at": func.app_now()}
        )
        await self._connection.execute(statement)

    async def recall(self, user_id: UUID, query: str, *, agent: str = "", limit: int = 20) -> list[Memory]:
        """Notes whose key or text holds a word of the query, the latest first; the latest for an empty query."""
        statement = select(*COLUMNS).where(self._of(user_id, agent))
        words = [word for word in query.split() if len(word) > 2][:10] or query.split()[:10]
        if words:
            found = [
                column.ilike(f"%{_literal(word)}%", escape="\\")
                for word in words
                for column in (notes.c.key, notes.c.text)
            ]
            statement = statement.where(or_(*found))
        statement = statement.order_by(notes.c.updated_at.desc(), notes.c.id.desc()).limit(limit)
        return [Memory(*row) for row in await self._connection.execute(statement)]

    async def forget(self, user_id: UUID, key: str, *, agent: str = "") -> bool:
        """Delete the note under a key; False when there is none."""
        statement = delete(notes).where(self._of(user_id, agent), notes.c.key == key)
        return (await self._connection.execute(statement)).rowcount > 0

    async def page(
        self, *, limit: int, after: UUID | None, user_id: UUID | None = None, agent: str | None = None
    ) -> list[Memory]:
        """Up to `limit` notes, the newest first, older than `after`."""
        statement = select(*COLUMNS).where(notes.c.workspace_id == self._workspace_id)
        if user_id is not None:
            statement = statement.where(notes.c.user_id == user_id)
        if agent is not None:
            statement = statement.where(notes.c.agent == agent)
        if after is not None:
            statement = statement.where(notes.c.id < after)
        statement = statement.order_by(notes.c.id.desc()).limit(limit)
        return [Memory(*row) for row in await self._connection.execute(statement)]

    async def get(self, note_id: UUID) -> Memory | None:
        """The note, or None when this workspace has none with that id."""
        found = (await self._connection.execute(select(*COLUMNS).where(self._is(note_id)))).one_or_none()
        return Memory(*found) if found else None

    async def delete(self, note_id: UUID) -> None:
        """Delete a note."""
        await self._connection.execute(delete(notes).where(self._is(note_id)))

    async def delete_all(self, user_id: UUID, agent: str | None) -> int:
        """Delete a user's notes, those of one agent or all; returns how many there were."""
        statement = delete(notes).where(notes.c.workspace_id == self._workspace_id, notes.c.user_id == user_id)
        if agent is not None:
            statement = statement.where(notes.c.agent == agent)
        return (await self._connection.execute(statement)).rowcount

    def _of(self, user_id: UUID, agent: str) -> Any:
        return and_(notes.c.workspace_id == self._workspace_id, notes.c.user_id == user_id, notes.c.agent == agent)

    def _is(self, note_id: UUID) -> Any:
        return and_(notes.c.workspace_id == self._workspace_id, notes.c.id == note_id)


def _literal(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
