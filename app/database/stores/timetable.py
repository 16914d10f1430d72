"""What is due over all workspaces."""

from sqlalchemy.ext.asyncio import AsyncConnection


class TimetableStore:
    """Queries over all workspaces."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
