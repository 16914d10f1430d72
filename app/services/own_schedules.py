"""The owner's schedules, as the command line shows them. Each function opens the unit that it needs."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from app.database.connection import Database
from app.database.unit import Unit
from app.models.errors import NotFound
from app.models.schedule import OccurrenceOut, ScheduleIn
from app.models.task import Task
from app.services import schedules, timetable, users

MOST = 200


@dataclass(frozen=True, slots=True)
class Standing:
    """A scheduled task: when it comes due in words, when it runs next (in its own zone), and how it went last."""

    task_id: UUID
    title: str
    state: str
    description: str
    timezone: str
    next_run_at: datetime | None
    pause_reason: str | None
    last: OccurrenceOut | None


async def every(database: Database) -> list[Standing]:
    """The scheduled tasks of the owner's workspace, the newest 200 of them."""
    owner = await users.local_owner(database)
    async with database.begin(owner.workspace_id) as unit:
        tasks = await unit.tasks.page(limit=MOST, pattern="scheduled")
        return [await _standing(unit, task) for task in tasks]


async def one(database: Database, task_id: UUID, limit: int) -> tuple[Standing, list[OccurrenceOut]]:
    """One of them and its latest due times with what became of each. Raise NotFound."""
    owner = await users.local_owner(database)
    async with database.begin(owner.workspace_id) as unit:
        task = await unit.tasks.get(task_id)
        if task is None or task.schedule is None:
            raise NotFound("There is no such scheduled task.", code="task_not_found")
        rows = await unit.occurrences.page(task_id, limit=limit)
        return await _standing(unit, task), [schedules.shown(row) for row in rows]


async def _standing(unit: Unit, task: Task) -> Standing:
    schedule = ScheduleIn.model_validate(task.schedule)
    last = await unit.occurrences.page(task.id, limit=1)
    off = task.disabled_at is not None or task.paused_at is not None
    due = None if off or task.next_fire_at is None else task.next_fire_at.astimezone(ZoneInfo(schedule.timezone))
    return Standing(
        task_id=task.id,
        title=task.title or task.prompt.splitlines()[0][:60],
        state=_state(task),
        description=timetable.describe(schedule),
        timezone=schedule.timezone,
        next_run_at=due,
        pause_reason=task.pause_reason,
        last=schedules.shown(last[0]) if last else None,
    )


def _state(task: Task) -> str:
    if task.disabled_at is not None:
        return "disabled"
    if task.paused_at is not None:
        return "paused"
    return "active" if task.finished_at is None else "finished"
