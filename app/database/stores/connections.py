"""Linked outside accounts of one workspace, and links on their way."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection


class ConnectionStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
