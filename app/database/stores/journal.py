"""The tool journal of one workspace: each call is written down before it starts and after it is done."""

from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import tool_calls
from app.database.rows import columns_of
from app.models.run import ToolCall

COLUMNS = columns_of(tool_calls, ToolCall)


class JournalStore:
    """Queries over the tool journal. The caller has checked the run's fence in the same unit."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def start(self, run_id: UUID, step: int, tool_call_id: str, **values: Any) -> ToolCall | None:
        """Write `started`; None when the call stands in the journal already."""
        statement = (
            insert(tool_calls)
            .values(
                workspace_id=self._workspace_id,
                run_id=run_id,
                step=step,
                tool_call_id=tool_call_id,
                status="started",
                **values,
            )
            .on_conflict_do_nothing()
            .returning(*COLUMNS)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return ToolCall(*found) if found else None

    async def restart(self, run_id: UUID, step: int, tool_call_id: str, fence: int) -> None:
        """Take over a call that an earlier attempt had started and that may be repeated."""
        statement = (
            update(tool_calls)
            .where(self._is(run_id, step, tool_call_id))
            .values(fence=fence, status="started", started_at=func.app_now(), finished_at=None)
        )
        await self._connection.execute(statement)

    async def finish(self, run_id: UUID, step: int, tool_call_id: str, **values: Any) -> None:
        """Write what became of the call: `status` done, failed, denied or skipped, and its result."""
        statement = (
            update(tool_calls).where(self._is(run_id, step, tool_call_id)).values(finished_at=func.app_now(), **values)
        )
        await self._connection.execute(statement)

    async def add(self, run_id: UUID, step: int, tool_call_id: str, **values: Any) -> None:
        """Write a finished call that had no `started` row: a read, which may be repeated."""
        statement = (
            insert(tool_calls)
            .values(
                workspace_id=self._workspace_id,
                run_id=run_id,
                step=step,
                tool_call_id=tool_call_id,
                finished_at=func.app_now(),
                **values,
            )
            .on_conflict_do_nothing()
        )
        await self._connection.execute(statement)

    async def close(self, run_id: UUID, status: str) -> None:
        """Say what is known of calls that were started and never finished, when their run ends."""
        statement = (
            update(tool_calls)
            .where(
                tool_calls.c.workspace_id == self._workspace_id,
                tool_calls.c.run_id == run_id,
                tool_calls.c.status == "started",
            )
            .values(status=status, finished_at=func.app_now())
        )
        await self._connection.execute(statement)

    async def get(self, run_id: UUID, step: int, tool_call_id: str) -> ToolCall | None:
        """One call as journaled."""
        statement = select(*COLUMNS).where(self._is(run_id, step, tool_call_id))
        found = (await self._connection.execute(statement)).one_or_none()
        return ToolCall(*found) if found else None

    async def of_run(self, run_id: UUID) -> list[ToolCall]:
        """Every call of a run, in the order they were started."""
        statement = (
            select(*COLUMNS)
            .where(tool_calls.c.workspace_id == self._workspace_id, tool_calls.c.run_id == run_id)
            .order_by(tool_calls.c.step, tool_calls.c.started_at, tool_calls.c.tool_call_id)
        )
        return [ToolCall(*row) for row in await self._connection.execute(statement)]

    def _is(self, run_id: UUID, step: int, tool_call_id: str) -> Any:
        return and_(
            tool_calls.c.workspace_id == self._workspace_id,
            tool_calls.c.run_id == run_id,
            tool_calls.c.step == step,
            tool_calls.c.tool_call_id == tool_call_id,
        )
