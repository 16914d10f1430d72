"""What a research has read, by the run at its root."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection


class SourceStore:
    """What a research has read, by the run at its root."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
