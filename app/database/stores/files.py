"""Files and their pieces, and which run has which."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection


class FileStore:
    """Files and their pieces, and which run has which."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
