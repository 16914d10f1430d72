"""Calls that a run waits for: those that its client answers, and runs that it began."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection


class AwaitedStore:
    """Calls that a run waits for: those that its client answers, and runs that it began."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
