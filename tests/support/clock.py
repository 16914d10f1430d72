"""Tasks with schedules, written straight into the ledger, and its clock moved by hand."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.database.connection import Database
from app.models.ids import new_id
from app.models.run import Run, RunStatus
from app.models.schedule import Occurrence, ScheduleIn
from app.models.task import Task
from app.services import firing, schedules, timetable


async def now(database: Database) -> datetime:
    """The moment by the ledger's clock."""
    async with database.across() as unit:
        return (await unit.connection.execute(text("SELECT app_now()"))).scalar_one()


async def move(database: Database, by: timedelta) -> None:
    """Set the ledger's clock ahead of the real one by so much in all."""
    async with database.across() as unit:
        await unit.connection.execute(text("UPDATE app_clock SET offset_by = :by"), {"by": by})


@asynccontextmanager
async def clock(database: Database) -> AsyncGenerator[None]:
    """Put the clock back at the end."""
    try:
        yield
    finally:
        await move(database, timedelta())


class Bench:
    """One workspace with its owner, and tasks in it."""

    def __init__(self, database: Database, workspace_id: UUID, user_id: UUID) -> None:
        self.database = database
        self.workspace_id = workspace_id
        self.user_id = user_id

    @classmethod
    async def of(cls, database: Database, name: str = "default") -> "Bench":
        """The workspace of that name."""
        async with database.across() as across:
            workspace = await across.directory.workspace(name)
        async with database.begin(workspace.id) as unit:
            user = await unit.users.see("owner", is_owner=True)
        return cls(database, workspace.id, user.id)

    async def tasks(self, count: int, *, due_at: datetime | None = None, **schedule: Any) -> list[Task]:
        """Scheduled tasks alike; their first due time is `due_at` if it is given."""
        moment = await now(self.database)
        rule: dict[str, Any] = {"every": 3600} if not {"cron", "at", "every"} & set(schedule) else {}
        wanted = ScheduleIn.model_validate({**rule, **schedule})
        made: list[Task] = []
        async with self.database.begin(self.workspace_id) as unit:
            for _ in range(count):
                task_id = new_id()
                due, fire = timetable.first(wanted, now=moment, min_seconds=1, task_id=task_id)
                values = {
                    "id": task_id,
                    "user_id": self.user_id,
                    "pattern": "scheduled",
                    "agent": "delegate",
                    "prompt": "Look around.",
                    "schedule": wanted.model_dump(mode="json"),
                    "next_due_at": due_at or due,
                    "next_fire_at": due_at or fire,
                }
                made.append(await unit.tasks.add(values))
        return made

    async def task(self, **schedule: Any) -> Task:
        """One scheduled task."""
        return (await self.tasks(1, **schedule))[0]

    async def again(self, task: Task) -> Task:
        """The task as it is now."""
        async with self.database.begin(self.workspace_id) as unit:
            found = await unit.tasks.get(task.id)
        assert found is not None
        return found

    async def change(self, task: Task, **values: Any) -> None:
        """Set columns of the task."""
        async with self.database.begin(self.workspace_id) as unit:
            await unit.tasks.change(task.id, values)

    async def rows(self, task: Task) -> list[Occurrence]:
        """The task's occurrences, the oldest first."""
        async with self.database.begin(self.workspace_id) as unit:
            return (await unit.occurrences.page(task.id, limit=2_000))[::-1]

    async def runs(self, task: Task) -> list[UUID]:
        """The ids of the task's runs, the oldest first."""
        async with self.database.begin(self.workspace_id) as unit:
            return [run.id for run in (await unit.runs.page(limit=1_000, task_id=task.id))[::-1]]

    async def later(self, by: timedelta) -> int:
        """Set the clock ahead of the real one by so much, and fire; how many tasks were due."""
        await move(self.database, by)
        return (await firing.fire_due(self.database)).count

    async def outcomes(self, task: Task) -> list[str]:
        """What became of the task's due times, the oldest first."""
        return [row.outcome for row in await self.rows(task)]

    async def end(self, run_id: UUID, status: RunStatus, detail: str | None = None) -> Run:
        """End a queued run as an executor would, without executing it."""
        async with self.database.begin(self.workspace_id) as unit:
            await unit.runs.transition(run_id, ("queued",), "running")
            ended = await unit.runs.transition(run_id, ("running",), status, status_detail=detail)
        assert ended is not None
        return ended

    async def settle(self, task: Task, run: Run) -> str | None:
        """Follow up an ended run."""
        async with self.database.begin(self.workspace_id) as unit:
            locked = await unit.tasks.lock(task.id)
            assert locked is not None
            return await schedules.after_run(unit, locked, run)


def known(run_id: UUID | None) -> UUID:
    """The run's id, which is there."""
    assert run_id is not None
    return run_id
