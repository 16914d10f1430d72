"""Messages for runs that are executing."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection


class SteeringStore:
    """Messages for runs that are executing."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
