"""Mails that runs of one workspace sent, or began to send."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection


class MailSendStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
