"""One-time links by which approvals of one workspace can be decided; the ledger has only the hashes of their tokens."""

from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import approval_links, approvals
from app.models.ids import new_id


class ApprovalLinkStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def add(self, approval_id: UUID, token_hash: bytes) -> bool:
        """Keep a link that holds as long as its approval is open; False when that is open no more."""
        asked = select(approvals.c.workspace_id, approvals.c.id, approvals.c.expires_at).where(
            approvals.c.workspace_id == self._workspace_id,
            approvals.c.id == approval_id,
            approvals.c.status == "pending",
            approvals.c.expires_at > func.app_now(),
        )
        found = (await self._connection.execute(asked)).one_or_none()
        if found is None:
            return False
        await self._connection.execute(
            insert(approval_links).values(
                workspace_id=self._workspace_id,
                id=new_id(),
                approval_id=approval_id,
                token_hash=token_hash,
                expires_at=found.expires_at,
            )
        )
        return True

    async def find(self, token_hash: bytes) -> UUID | None:
        """The approval that the link decides; None when the link is unknown, used or over."""
        statement = select(approval_links.c.approval_id).where(self._usable(token_hash))
        return (await self._connection.execute(statement)).scalar_one_or_none()

    async def use(self, token_hash: bytes) -> tuple[UUID, UUID] | None:
        """Use the link up: its id and its approval's; None when it is unknown, used or over."""
        statement = (
            update(approval_links)
            .where(self._usable(token_hash))
            .values(used_at=func.app_now())
            .returning(approval_links.c.id, approval_links.c.approval_id)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return (found.id, found.approval_id) if found else None

    def _usable(self, token_hash: bytes) -> Any:
        return and_(
            approval_links.c.workspace_id == self._workspace_id,
            approval_links.c.token_hash == token_hash,
            approval_links.c.used_at.is_(None),
            approval_links.c.expires_at > func.app_now(),
        )
