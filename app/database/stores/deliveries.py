"""Notifications of one workspace and every attempt to deliver them."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection


class DeliveryStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
