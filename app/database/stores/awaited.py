"""Calls that a run waits for: those that its client answers, and runs that it began."""

from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import awaited_calls
from app.database.rows import columns_of
from app.models.awaited import AwaitedCall, AwaitedStatus

COLUMNS = columns_of(awaited_calls, AwaitedCall)


class AwaitedStore:
    """Queries over the awaited calls of one workspace. An answer is one statement, so that it is given once."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def add(self, values: dict[str, Any], *, seconds: float | None) -> AwaitedCall:
        """Insert a pending call that expires after `seconds` (None: never), and return it as stored."""
        expires_at = None if seconds is None else func.app_now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
        statement = (
            insert(awaited_calls)
            .values(workspace_id=self._workspace_id, expires_at=expires_at, **values)
            .returning(*COLUMNS)
        )
        return AwaitedCall(*(await self._connection.execute(statement)).one())

    async def answer(
        self, run_id: UUID, tool_call_id: str, outcome: dict[str, Any], answered_by: str
    ) -> AwaitedCall | None:
        """Answer a pending call that has not expired; None when somebody was faster or it is too late."""
        in_time = or_(awaited_calls.c.expires_at.is_(None), awaited_calls.c.expires_at > func.app_now())
        condition = and_(self._pending(run_id), awaited_calls.c.tool_call_id == tool_call_id, in_time)
        found = await self._settle(condition, "answered", outcome=outcome, answered_by=answered_by)
        return found[0] if found else None

    async def expire(self, run_id: UUID, outcome: dict[str, Any]) -> list[AwaitedCall]:
        """Expire the run's pending calls whose time is over; returns them."""
        condition = and_(self._pending(run_id), awaited_calls.c.expires_at <= func.app_now())
        return await self._settle(condition, "expired", outcome=outcome, answered_by="system:expiry")

    async def void(self, run_id: UUID) -> None:
        """Nobody waits for the run's pending calls any more."""
        await self._settle(self._pending(run_id), "void")

    async def _settle(self, condition: Any, status: AwaitedStatus, **values: Any) -> list[AwaitedCall]:
        statement = (
            update(awaited_calls)
            .where(condition)
            .values(status=status, answered_at=func.app_now(), **values)
            .returning(*COLUMNS)
        )
        return [AwaitedCall(*row) for row in await self._connection.execute(statement)]

    async def of_run(self, run_id: UUID, *, status: AwaitedStatus | None = None) -> list[AwaitedCall]:
        """The run's calls, in the order in which they were made."""
        statement = select(*COLUMNS).where(
            awaited_calls.c.workspace_id == self._workspace_id, awaited_calls.c.run_id == run_id
        )
        if status is not None:
            statement = statement.where(awaited_calls.c.status == status)
        statement = statement.order_by(awaited_calls.c.step, awaited_calls.c.created_at, awaited_calls.c.tool_call_id)
        return [AwaitedCall(*row) for row in await self._connection.execute(statement)]

    async def pending_of(self, run_ids: list[UUID]) -> dict[UUID, list[AwaitedCall]]:
        """Pending calls of several runs, by run."""
        if not run_ids:
            return {}
        statement = (
            select(*COLUMNS)
            .where(
                awaited_calls.c.workspace_id == self._workspace_id,
                awaited_calls.c.run_id.in_(run_ids),
                awaited_calls.c.status == "pending",
            )
            .order_by(awaited_calls.c.created_at, awaited_calls.c.tool_call_id)
        )
        found: dict[UUID, list[AwaitedCall]] = {}
        for row in await self._connection.execute(statement):
            found.setdefault(row.run_id, []).append(AwaitedCall(*row))
        return found

    async def of_child(self, child_run_id: UUID) -> AwaitedCall | None:
        """The call that the end of this run answers."""
        statement = select(*COLUMNS).where(
            awaited_calls.c.workspace_id == self._workspace_id, awaited_calls.c.child_run_id == child_run_id
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return AwaitedCall(*found) if found else None

    def _pending(self, run_id: UUID) -> Any:
        return and_(
            awaited_calls.c.workspace_id == self._workspace_id,
            awaited_calls.c.run_id == run_id,
            awaited_calls.c.status == "pending",
        )
