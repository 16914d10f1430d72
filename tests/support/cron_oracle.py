"""What cron(8) does, minute by minute: an oracle that shares nothing with the product but the rules.

It reads the fields itself, walks through every minute, and treats changes of the clocks as Debian's daemon does: jobs
at fixed times keep to a clock that never runs backwards and catches up at once; jobs with a star follow the wall.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from app.services.crontab import Crontab

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
MINUTE = timedelta(minutes=1)


def numbers(field: str, low: int, high: int, names: list[str] | None = None, first: int = 0) -> set[int]:
    """The values that one field allows."""
    found: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        if span == "*":
            start, end = low, high
        else:
            ends = [names.index(one) + first if names and one in names else int(one) for one in span.split("-")]
            start, end = ends[0], ends[-1] if len(ends) == 2 or not step else high
        found |= set(range(start, end + 1, int(step or 1)))
    return found


class Oracle:
    """One expression of five fields."""

    def __init__(self, expression: str) -> None:
        fields = expression.split()
        kinds = (None, None, None, MONTHS, DAYS)
        bounds = [(*BOUNDS[place], kinds[place], 1 if place == 3 else 0) for place in range(5)]
        read = [numbers(field, *bound) for field, bound in zip(fields, bounds, strict=True)]
        self.minutes, self.hours, self.days, self.months, week = read
        self.week = {day % 7 for day in week}
        self.both = fields[2].startswith("*") or fields[4].startswith("*")
        self.fixed = not (fields[0].startswith("*") or fields[1].startswith("*"))

    def on(self, wall: datetime) -> bool:
        """Whether the expression names that minute on the wall."""
        if wall.minute not in self.minutes or wall.hour not in self.hours or wall.month not in self.months:
            return False
        day, week = wall.day in self.days, wall.isoweekday() % 7 in self.week
        return (day and week) if self.both else (day or week)

    def fires(self, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
        """Every moment after `start` and up to `end`, both whole minutes in UTC, at which the job runs."""
        moment = start.astimezone(UTC)
        reached = moment.astimezone(zone).replace(tzinfo=None)
        while moment < end:
            moment += MINUTE
            wall = moment.astimezone(zone).replace(tzinfo=None)
            if not self.fixed:
                if self.on(wall):
                    yield moment
                continue
            due = False
            while reached < wall:
                reached += MINUTE
                due = self.on(reached) or due
            if due:
                yield moment


def following(table: Crontab, moment: datetime, count: int) -> list[datetime]:
    """The next due times."""
    found: list[datetime] = []
    while len(found) < count and (due := table.after(moment)) is not None:
        found.append(due)
        moment = due
    return found
