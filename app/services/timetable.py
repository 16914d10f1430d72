"""When a schedule comes due: cron as in crontab(5), fixed steps, or once. Pure; the scheduler process uses it."""

from datetime import datetime
from uuid import UUID

from app.models.schedule import ScheduleIn


def first(
    schedule: ScheduleIn, *, now: datetime, min_seconds: float, task_id: UUID | None = None
) -> tuple[datetime | None, datetime | None]:
    """The first due time after `now`, and when it fires: later by its jitter, drawn from the task's id.

    Raises InvalidInput, naming the field of the body, for a schedule that cannot be used: an unknown zone, a cron
    expression that cannot be read, never fires within five years or fires more often than every `min_seconds`.
    """
    raise NotImplementedError


def describe(schedule: ScheduleIn) -> str:
    """The schedule in words, with its zone."""
    raise NotImplementedError
