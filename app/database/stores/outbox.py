"""Deliveries that are due over all workspaces."""

from sqlalchemy.ext.asyncio import AsyncConnection


class OutboxStore:
    """Queries over all workspaces."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
