"""Approvals of one workspace. A decision is one statement, so that it is made once."""

from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import approvals
from app.database.rows import columns_of
from app.models.approval import Approval, ApprovalStatus

COLUMNS = columns_of(approvals, Approval)


class ApprovalStore:
    """Queries over the approvals of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def ask(self, values: dict[str, Any], *, days: int) -> Approval:
        """Insert a pending approval that expires after `days`, and return it as stored."""
        expires_at = func.app_now() + func.make_interval(0, 0, 0, days)
        statement = (
            insert(approvals)
            .values(workspace_id=self._workspace_id, expires_at=expires_at, **values)
            .returning(*COLUMNS)
        )
        return Approval(*(await self._connection.execute(statement)).one())

    async def get(self, approval_id: UUID) -> Approval | None:
        """The approval, or None when this workspace has none with that id."""
        found = (await self._connection.execute(select(*COLUMNS).where(self._is(approval_id)))).one_or_none()
        return Approval(*found) if found else None

    async def settle(self, approval_id: UUID, to: ApprovalStatus, **values: Any) -> Approval | None:
        """Settle a pending approval that has not expired; None when somebody was faster or it is too late."""
        statement = (
            update(approvals)
            .where(self._is(approval_id), approvals.c.status == "pending", approvals.c.expires_at > func.app_now())
            .values(status=to, decided_at=func.app_now(), **values)
            .returning(*COLUMNS)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return Approval(*found) if found else None

    async def supersede(self, run_id: UUID) -> list[Approval]:
        """Void the run's pending approvals: nobody waits for them any more."""
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

    async def expire(self, run_id: UUID) -> list[Approval]:
        """Expire the run's pending approvals whose time is over; returns them."""
        statement = (
            update(approvals)
            .where(
                approvals.c.workspace_id == self._workspace_id,
                approvals.c.run_id == run_id,
                approvals.c.status == "pending",
                approvals.c.expires_at <= func.app_now(),
            )
            .values(status="expired", decided_at=func.app_now(), decided_by="system:expiry")
            .returning(*COLUMNS)
        )
        return [Approval(*row) for row in await self._connection.execute(statement)]

    async def of_run(self, run_id: UUID, *, status: ApprovalStatus | None = None) -> list[Approval]:
        """The run's approvals, the oldest first."""
        statement = select(*COLUMNS).where(approvals.c.workspace_id == self._workspace_id, approvals.c.run_id == run_id)
        if status is not None:
            statement = statement.where(approvals.c.status == status)
        return [Approval(*row) for row in await self._connection.execute(statement.order_by(approvals.c.id))]

    async def pending_of(self, run_ids: list[UUID]) -> dict[UUID, list[UUID]]:
        """Ids of the pending approvals of several runs, by run."""
        if not run_ids:
            return {}
        statement = (
            select(approvals.c.run_id, approvals.c.id)
            .where(
                approvals.c.workspace_id == self._workspace_id,
                approvals.c.run_id.in_(run_ids),
                approvals.c.status == "pending",
            )
            .order_by(approvals.c.id)
        )
        found: dict[UUID, list[UUID]] = {}
        for row in await self._connection.execute(statement):
            found.setdefault(row.run_id, []).append(row.id)
        return found

    async def page(
        self,
        *,
        limit: int,
        after: UUID | None = None,
        status: str | None = None,
        run_id: UUID | None = None,
        user_id: UUID | None = None,
    ) -> list[Approval]:
        """Up to `limit` approvals, the newest first, older than `after`."""
        statement = select(*COLUMNS).where(approvals.c.workspace_id == self._workspace_id)
        wanted = {approvals.c.status: status, approvals.c.run_id: run_id, approvals.c.user_id: user_id}
        for column, value in wanted.items():
            if value is not None:
                statement = statement.where(column == value)
        if after is not None:
            statement = statement.where(approvals.c.id < after)
        statement = statement.order_by(approvals.c.id.desc()).limit(limit)
        return [Approval(*row) for row in await self._connection.execute(statement)]

    def _is(self, approval_id: UUID) -> Any:
        return and_(approvals.c.workspace_id == self._workspace_id, approvals.c.id == approval_id)
