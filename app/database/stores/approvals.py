"""Approvals of one workspace: each is decided once."""

from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import approvals
from app.database.rows import columns_of
from app.models.approval import Approval, ApprovalStatus, Decision

COLUMNS = columns_of(approvals, Approval)


class ApprovalStore:
    """Queries over the approvals of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def add(self, *, days: float, **values: Any) -> Approval:
        """Ask a person: insert a pending approval that expires after `days`."""
        expires_at = func.app_now() + text("make_interval(secs => :seconds)").bindparams(seconds=days * 86400)
        statement = (
            insert(approvals)
            .values(workspace_id=self._workspace_id, expires_at=expires_at, **values)
            .returning(*COLUMNS)
        )
        return Approval(*(await self._connection.execute(statement)).one())

    async def get(self, approval_id: UUID) -> Approval | None:
        """One approval, or None when this workspace has none with that id."""
        statement = select(*COLUMNS).where(self._is(approval_id))
        found = (await self._connection.execute(statement)).one_or_none()
        return Approval(*found) if found else None

    async def decide(
        self,
        approval_id: UUID,
        *,
        status: ApprovalStatus,
        decision: Decision,
        decided_by: str,
        decided_arguments: dict[str, Any] | None = None,
        note: str | None = None,
    ) -> Approval | None:
        """Decide a pending, unexpired approval; None when somebody or time was faster. Of many at once, one wins."""
        statement = (
            update(approvals)
            .where(self._is(approval_id), approvals.c.status == "pending", approvals.c.expires_at > func.app_now())
            .values(
                status=status,
                decision=decision,
                decided_by=decided_by,
                decided_arguments=decided_arguments,
                note=note,
                decided_at=func.app_now(),
            )
            .returning(*COLUMNS)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return Approval(*found) if found else None

    async def supersede(self, run_id: UUID) -> list[Approval]:
        """Void the pending approvals of a run that ends without them."""
        statement = (
            update(approvals)
            .where(
                approvals.c.workspace_id == self._workspace_id,
                approvals.c.run_id == run_id,
                approvals.c.status == "pending",
            )
            .values(status="superseded", decided_at=func.app_now())
            .returning(*COLUMNS)
        )
        return [Approval(*row) for row in await self._connection.execute(statement)]

    async def of_run(self, run_id: UUID, *, status: str | None = None) -> list[Approval]:
        """Approvals of one run, the oldest first."""
        statement = select(*COLUMNS).where(
            approvals.c.workspace_id == self._workspace_id, approvals.c.run_id == run_id
        )
        if status is not None:
            statement = statement.where(approvals.c.status == status)
        rows = await self._connection.execute(statement.order_by(approvals.c.id))
        return [Approval(*row) for row in rows]

    async def page(
        self, *, limit: int, after: UUID | None = None, status: str | None = None, user_id: UUID | None = None
    ) -> list[Approval]:
        """Up to `limit` approvals, the newest first, older than `after`."""
        statement = select(*COLUMNS).where(approvals.c.workspace_id == self._workspace_id)
        if status is not None:
            statement = statement.where(approvals.c.status == status)
        if user_id is not None:
            statement = statement.where(approvals.c.user_id == user_id)
        if after is not None:
            statement = statement.where(approvals.c.id < after)
        rows = await self._connection.execute(statement.order_by(approvals.c.id.desc()).limit(limit))
        return [Approval(*row) for row in rows]

    def _is(self, approval_id: UUID) -> Any:
        return and_(approvals.c.workspace_id == self._workspace_id, approvals.c.id == approval_id)
