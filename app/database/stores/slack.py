"""What Slack sent to one workspace, its threads, and our messages there."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection


class SlackStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
