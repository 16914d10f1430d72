"""Tasks of one workspace. A deleted task keeps its row for the runs that it made."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import runs, tasks
from app.database.rows import columns_of
from app.database.usage import usage_below
from app.models.task import Task

COLUMNS = columns_of(tasks, Task)
CHAIN_LOCK = 7_301_003
STANDING = ("scheduled", "triggered")
"""Patterns whose tasks are not over with a run."""


class TaskStore:
    """Queries over the tasks of one workspace that are not deleted."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def add(self, values: dict[str, Any]) -> Task:
        """Insert a task and return it as stored."""
        statement = insert(tasks).values(workspace_id=self._workspace_id, **values).returning(*COLUMNS)
        return Task(*(await self._connection.execute(statement)).one())

    async def get(self, task_id: UUID) -> Task | None:
        """The task, or None when this workspace has none with that id."""
        found = (await self._connection.execute(select(*COLUMNS).where(self._is(task_id)))).one_or_none()
        return Task(*found) if found else None

    async def lock(self, task_id: UUID) -> Task | None:
        """The task, locked against other writers until the unit ends."""
        statement = select(*COLUMNS).where(self._is(task_id)).with_for_update()
        found = (await self._connection.execute(statement)).one_or_none()
        return Task(*found) if found else None

    async def change(self, task_id: UUID, values: dict[str, Any]) -> Task | None:
        """Set columns of the task; None when there is none."""
        statement = (
            update(tasks).where(self._is(task_id)).values(updated_at=func.app_now(), **values).returning(*COLUMNS)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return Task(*found) if found else None

    async def switch(self, task_id: UUID, *, on: bool) -> Task | None:
        """Enable or disable the task; None when there is none."""
        return await self.change(task_id, {"disabled_at": None if on else func.app_now()})

    async def delete(self, task_id: UUID) -> bool:
        """Delete the task, keep its runs; False when there is none."""
        return await self.change(task_id, {"deleted_at": func.app_now()}) is not None

    async def now(self) -> datetime:
        """The moment by the ledger's clock."""
        return (await self._connection.execute(select(func.app_now()))).scalar_one()

    async def following(self, task_id: UUID) -> list[Task]:
        """The tasks that run after this one."""
        statement = select(*COLUMNS).where(
            tasks.c.workspace_id == self._workspace_id, tasks.c.after_task_id == task_id, tasks.c.deleted_at.is_(None)
        )
        return [Task(*row) for row in await self._connection.execute(statement.order_by(tasks.c.id))]

    async def lock_chains(self) -> None:
        """Let no other unit change what runs after what in this workspace until this one ends."""
        statement = select(func.pg_advisory_xact_lock(CHAIN_LOCK, func.hashtext(str(self._workspace_id))))
        await self._connection.execute(statement)

    async def page(
        self,
        *,
        limit: int,
        after: UUID | None = None,
        pattern: str | None = None,
        status: str | None = None,
        user_id: UUID | None = None,
    ) -> list[Task]:
        """Up to `limit` tasks, the newest first, older than `after`.

        `status` is the one that a reader sees: disabled, paused, active, finished, or that of the latest run.
        """
        statement = select(*COLUMNS).where(tasks.c.workspace_id == self._workspace_id, tasks.c.deleted_at.is_(None))
        if pattern is not None:
            statement = statement.where(tasks.c.pattern == pattern)
        if user_id is not None:
            statement = statement.where(tasks.c.user_id == user_id)
        if after is not None:
            statement = statement.where(tasks.c.id < after)
        if status is not None:
            statement = statement.where(self._shows(status))
        statement = statement.order_by(tasks.c.id.desc()).limit(limit)
        return [Task(*row) for row in await self._connection.execute(statement)]

    async def usage(self, task_ids: list[UUID]) -> dict[UUID, dict[str, Any]]:
        """What the runs of each task used, with all runs that those began."""
        return await usage_below(self._connection, self._workspace_id, runs.c.task_id, task_ids)

    async def last_runs(self, run_ids: list[UUID]) -> dict[UUID, str]:
        """The status of each run."""
        statement = select(runs.c.id, runs.c.status).where(
            runs.c.workspace_id == self._workspace_id, runs.c.id.in_(run_ids)
        )
        return {row.id: row.status for row in await self._connection.execute(statement)}

    def _shows(self, status: str) -> Any:
        if status == "disabled":
            return tasks.c.disabled_at.is_not(None)
        on = tasks.c.disabled_at.is_(None)
        if status == "paused":
            return and_(on, tasks.c.paused_at.is_not(None))
        on = and_(on, tasks.c.paused_at.is_(None))
        standing = tasks.c.pattern.in_(STANDING)
        if status in ("active", "finished"):
            over = tasks.c.finished_at.is_not(None) if status == "finished" else tasks.c.finished_at.is_(None)
            return and_(on, standing, over)
        if status == "idle":
            return and_(on, ~standing, tasks.c.last_run_id.is_(None))
        return and_(on, ~standing, self._last_run_is(status))

    def _last_run_is(self, status: str) -> Any:
        return (
            select(literal(1))
            .where(
                runs.c.workspace_id == tasks.c.workspace_id, runs.c.id == tasks.c.last_run_id, runs.c.status == status
            )
            .exists()
        )

    def _is(self, task_id: UUID) -> Any:
        return and_(tasks.c.workspace_id == self._workspace_id, tasks.c.id == task_id, tasks.c.deleted_at.is_(None))
