"""One-time links by which approvals of one workspace can be decided."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection


class ApprovalLinkStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
