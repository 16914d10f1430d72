"""Notes of a user, as the tools reach them: each call is a short unit of its own."""

from typing import Any
from uuid import UUID

from app.database.connection import Database


class Notes:
    """The notes of one user of one workspace."""

    def __init__(self, database: Database, workspace_id: UUID, user_id: UUID) -> None:
        self._database = database
        self._workspace_id = workspace_id
        self._user_id = user_id

    async def remember(self, key: str, text: str) -> None:
        """Keep the text under the key; a note that has the key already is replaced."""
        async with self._database.begin(self._workspace_id) as unit:
            await unit.notes.remember(self._user_id, key, text)

    async def recall(self, query: str) -> list[dict[str, Any]]:
        """Notes that share a word with the query, best first; the newest ones for an empty query."""
        async with self._database.begin(self._workspace_id) as unit:
            return await unit.notes.recall(self._user_id, query)

    async def forget(self, key: str) -> bool:
        """Remove the note; false when there is none."""
        async with self._database.begin(self._workspace_id) as unit:
            return await unit.notes.forget(self._user_id, key)
