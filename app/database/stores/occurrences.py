"""Occurrences of one workspace: every due time and what became of it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection


class OccurrenceStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
