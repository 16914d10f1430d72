"""Incoming webhook events of one workspace, and the secrets that they are signed with."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection


class InboundStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
