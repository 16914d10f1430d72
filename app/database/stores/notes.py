"""Notes that agents keep for a user, within one workspace."""

from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import notes
from app.models.ids import new_id


class NoteStore:
    """Queries over the notes of one workspace; every one names the user."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def remember(self, user_id: UUID, key: str, text: str) -> None:
        """Keep a note under a key; a later note replaces an earlier one."""
        statement = upsert(notes).values(
            workspace_id=self._workspace_id, id=new_id(), user_id=user_id, key=key, text=text
        )
        statement = statement.on_conflict_do_update(
            index_elements=["workspace_id", "user_id", "agent", "key"],
            set_={"text": text, "updated_at": func.app_now()},
        )
        await self._connection.execute(statement)

    async def recall(self, user_id: UUID, query: str, *, limit: int = 20) -> list[dict[str, Any]]:
        """The user's notes whose key or text holds a word of the query, the latest first; all for an empty query."""
        statement = select(notes.c.key, notes.c.text, notes.c.updated_at).where(self._of(user_id))
        words = [word for word in query.split() if len(word) > 2][:10] or query.split()[:10]
        if words:
            found = [
                column.ilike(f"%{_literal(word)}%", escape="\\")
                for word in words
                for column in (notes.c.key, notes.c.text)
            ]
            statement = statement.where(or_(*found))
        statement = statement.order_by(notes.c.updated_at.desc(), notes.c.id.desc()).limit(limit)
        return [
            {"key": row.key, "text": row.text, "updated_at": row.updated_at.isoformat()}
            for row in await self._connection.execute(statement)
        ]

    async def forget(self, user_id: UUID, key: str) -> bool:
        """Delete the note under a key; False when there is none."""
        statement = delete(notes).where(self._of(user_id), notes.c.key == key)
        return (await self._connection.execute(statement)).rowcount > 0

    def _of(self, user_id: UUID) -> Any:
        return and_(notes.c.workspace_id == self._workspace_id, notes.c.user_id == user_id)


def _literal(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
