"""When a schedule comes due: cron as in crontab(5), fixed steps, or once. Pure; the scheduler process uses it."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from itertools import islice
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from cron_descriptor import ExpressionDescriptor, Options
from pydantic import ValidationError

from app.models.errors import InvalidInput
from app.models.schedule import DueTime, ScheduleIn, every_seconds
from app.services.crontab import Crontab, crontab

HORIZON = timedelta(days=5 * 365 + 2)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_OFF_THE_CLOCK = frozenset({"Factory"})


class BadSchedule(ValueError):
    """A schedule that cannot be used: the field at fault, and what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Timetable:
    """A schedule that can be asked for its due times. `anchor` is one step of `every`."""

    schedule: ScheduleIn
    zone: ZoneInfo
    cron: Crontab | None
    anchor: datetime

    def after(self, moment: datetime) -> datetime | None:
        """The first due time after the moment, in UTC; None when there is none."""
        start, end = self.schedule.start_at, self.schedule.end_at
        if start is not None and moment < start:
            moment = start - _TICK
        due = self._next(moment)
        return None if due is None or (end is not None and due > end) else due

    def _next(self, moment: datetime) -> datetime | None:
        if self.cron is not None:
            return self.cron.after(moment)
        if self.schedule.every is not None:
            step = timedelta(seconds=every_seconds(self.schedule.every))
            return (self.anchor + ((moment - self.anchor) // step + 1) * step).astimezone(UTC)
        assert self.schedule.at is not None
        return self.schedule.at.astimezone(UTC) if moment < self.schedule.at else None

    def walk(self, moment: datetime) -> Iterator[datetime]:
        """The due times after the moment, one by one."""
        due = self.after(moment)
        while due is not None:
            yield due
            due = self.after(due)

    def latest(self, since: datetime, until: datetime, count: int) -> list[datetime]:
        """The last `count` due times from `since` to `until`, both included, in their order."""
        before, window = since - _TICK, timedelta(hours=1)
        while True:
            start = max(before, until - window)
            found: list[datetime] = []
            for due in self.walk(start):
                if due > until:
                    break
                found.append(due)
            if len(found) >= count or start == before:
                return found[-count:]
            window *= 4

    def fire_at(self, due: datetime, task_id: UUID | None) -> datetime:
        """When a due time fires: later by its jitter, a number that every process draws alike (SHA-256)."""
        jitter = self.schedule.jitter_seconds
        if jitter == 0 or task_id is None:
            return due
        drawn = hashlib.sha256(task_id.bytes + due.isoformat().encode()).digest()
        return due + timedelta(milliseconds=int.from_bytes(drawn[:8]) % (1_000 * jitter))

    def shortest_gap(self, moment: datetime) -> float:
        """The shortest time between two due times, in seconds."""
        if self.cron is not None:
            return self.cron.shortest_gap(moment)
        return every_seconds(self.schedule.every) if self.schedule.every is not None else float("inf")


@cache
def _zones() -> frozenset[str]:
    names = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    return frozenset(names) - _OFF_THE_CLOCK


def zone_named(name: str) -> ZoneInfo:
    """The time zone of the IANA data base with exactly that name. Raises BadSchedule; a name never opens a file."""
    if name not in _zones():
        alike = next((known for known in _zones() if known.lower() == name.lower()), None)
        hint = f"did you mean {alike}?" if alike else "use a name such as Europe/Berlin or UTC"
        raise BadSchedule("timezone", f"there is no such time zone; {hint}")
    return ZoneInfo(name)


def timetable(schedule: ScheduleIn, anchor: datetime) -> Timetable:
    """The schedule's timetable; `every` counts from `start_at`, else from `anchor`. Raises BadSchedule."""
    zone = zone_named(schedule.timezone)
    try:
        cron = crontab(schedule.cron, zone) if schedule.cron is not None else None
    except ValueError as error:
        raise BadSchedule("cron", str(error)) from None
    return Timetable(schedule, zone, cron, schedule.start_at or anchor)


def checked(schedule: ScheduleIn, *, now: datetime, min_seconds: float) -> Timetable:
    """The timetable of a schedule that clients send. Raises BadSchedule for one that is of no use."""
    for field in ("at", "start_at", "end_at"):
        moment: datetime | None = getattr(schedule, field)
        if moment is not None and not EPOCH <= moment <= now + HORIZON:
            raise BadSchedule(field, "this is in the past, or more than five years ahead")
    if schedule.at is not None and schedule.at <= now:
        raise BadSchedule("at", "this is in the past")
    if schedule.end_at is not None and schedule.end_at <= max(now, schedule.start_at or now):
        raise BadSchedule("end_at", "this is in the past, or not after start_at")
    table = timetable(schedule, now.replace(microsecond=0))
    due = table.after(now)
    field = "cron" if schedule.cron is not None else "every" if schedule.every is not None else "at"
    if due is None or due > max(now, schedule.start_at or now) + HORIZON:
        raise BadSchedule(field, "this never fires within five years")
    gap = table.shortest_gap(now)
    if gap < min_seconds:
        raise BadSchedule(field, f"this fires every {gap:g} s; the shortest time allowed here is {min_seconds:g} s")
    if schedule.jitter_seconds > gap:
        raise BadSchedule("jitter_seconds", f"this is longer than the {gap:g} s between two due times")
    return table


def usable(schedule: ScheduleIn, *, now: datetime, min_seconds: float) -> Timetable:
    """The same for a door: raises InvalidInput that names the field of the body."""
    try:
        return checked(schedule, now=now, min_seconds=min_seconds)
    except BadSchedule as error:
        loc = f"body.schedule.{error.field}"
        raise InvalidInput(
            f"{loc}: {error}.", code="invalid_schedule", errors=[{"loc": loc, "msg": str(error), "type": "schedule"}]
        ) from None


def first(
    schedule: ScheduleIn, *, now: datetime, min_seconds: float, task_id: UUID | None = None
) -> tuple[datetime | None, datetime | None]:
    """The first due time after `now`, and when it fires: later by its jitter, drawn from the task's id.

    Raises InvalidInput, naming the field of the body, for a schedule that cannot be used: an unknown zone, a cron
    expression that cannot be read, never fires within five years or fires more often than every `min_seconds`.
    """
    table = usable(schedule, now=now, min_seconds=min_seconds)
    due = table.after(now)
    return due, None if due is None else table.fire_at(due, task_id)


def preview(table: Timetable, after: datetime, count: int) -> list[DueTime]:
    """The next `count` due times after the moment, with what the clocks do to them."""
    return [
        DueTime(
            utc=due,
            local=due.astimezone(table.zone).isoformat(),
            note=table.cron.note(due) if table.cron is not None else None,
        )
        for due in islice(table.walk(after), count)
    ]


def describe(schedule: ScheduleIn) -> str:
    """The schedule in words, with its zone. Raises BadSchedule for one that cannot be read."""
    zone = zone_named(schedule.timezone)
    if schedule.every is not None:
        return _steps_in_words(every_seconds(schedule.every))
    if schedule.at is not None:
        return f"Once, on {schedule.at.astimezone(zone):%Y-%m-%d at %H:%M} ({schedule.timezone})"
    assert schedule.cron is not None
    try:
        expression = crontab(schedule.cron, zone).expression
    except ValueError as error:
        raise BadSchedule("cron", str(error)) from None
    return f"{_cron_in_words(expression)} ({schedule.timezone})"


def in_words(stored: dict[str, Any]) -> str:
    """A stored schedule in words; one that cannot be read any more says so."""
    try:
        return describe(ScheduleIn.model_validate(stored))
    except (BadSchedule, ValidationError) as error:
        what = str(error) if isinstance(error, BadSchedule) else "it cannot be read"
        return f"Broken: {what}"


@lru_cache(maxsize=1_000)
def _cron_in_words(expression: str) -> str:
    options = Options(use_24hour_time_format=True, locale_code="en_US")
    try:
        words = ExpressionDescriptor(expression, options).get_description()
    except Exception:  # it reads less than cron does, and words are a courtesy
        return expression
    _, _, month_day, _, week_day = expression.split(" ")
    if month_day.startswith("*") or week_day.startswith("*"):
        # crontab(5): with a star in front, both fields have to match.
        words = re.sub(r", or (on|only)", r", and only \1" if "or only" not in words else r", and \1", words)
    return words


def _steps_in_words(seconds: float) -> str:
    for size, word in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds % size == 0:
            count = int(seconds // size)
            return f"Every {word}" if count == 1 else f"Every {count} {word}s"
    return f"Every {seconds:g} seconds"
