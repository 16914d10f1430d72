"""Cron expressions as crontab(5) means them, also on the two days a year when the clocks change.

As in cron(8): a job at a fixed time that a forward change leaves out runs at the first moment after it, and runs once
when a backward change repeats it; a job whose minute or hour field starts with a star follows the clock on the wall.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS = ("minute", "hour", "day of month", "month", "day of week")
RANGES = ("0-59", "0-23", "1-31", "1-12 or jan-dec", "0-7 or sun-sat")
YEARS = 41
"""How far a search goes: 29 February of a year like 2100 and a day of the week come together that late."""
_DAY = timedelta(days=1)
_NARROW = re.compile(r"\b([A-Za-z0-9]+)-\1/[1-9][0-9]*")
"""A range of one value with a step; the library would read it as open to the end."""


def expanded(expression: str) -> str:
    """The five fields that an expression stands for, `@hourly` … `@yearly` written out. Raises ValueError."""
    text = " ".join(expression.split())
    if text.startswith("@"):
        if text.lower() not in ALIASES:
            raise ValueError(f"use one of {', '.join(ALIASES)}, or five fields")
        return ALIASES[text.lower()]
    count = len(text.split(" "))
    if count != len(FIELDS):
        raise ValueError(f"give five fields ({', '.join(FIELDS)}); this has {count}")
    return _NARROW.sub(r"\1", text)


def _parsed(expression: str) -> CronSim:
    """The expression as the library reads it; of that only the sets of its fields are used."""
    try:
        return CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        bad = str(error).removeprefix("Bad ").replace("-", " ")
        if bad not in FIELDS:
            raise ValueError("this cannot be read") from None
        number = FIELDS.index(bad)
        if bad == "day of month" and expression.split(" ")[number].isdigit() and _in_range(expression, number):
            raise ValueError("this never fires: none of its months has that day") from None
        raise ValueError(f"the field {bad} cannot be read or is out of range ({RANGES[number]})") from None
    except (ValueError, AssertionError, IndexError, TypeError):
        raise ValueError("this cannot be read") from None


def _in_range(expression: str, number: int) -> bool:
    return len(expression) < 100 and 1 <= int(expression.split(" ")[number]) <= 31


class Crontab:
    """One expression in one zone. Raises ValueError, with what to do, for one that cannot be read."""

    def __init__(self, expression: str, zone: ZoneInfo) -> None:
        self.expression = expanded(expression)
        self._fields = _parsed(self.expression)
        self._zone = zone
        self._times = sorted(60 * hour + minute for hour in self._fields.hours for minute in self._fields.minutes)
        minute, hour, *_ = self.expression.split(" ")
        self._changed: dict[date, list[datetime]] = {}
        self.fixed = not (minute.startswith("*") or hour.startswith("*"))

    def after(self, moment: datetime) -> datetime | None:
        """The first due time after the moment, in UTC; None when there is none in a lifetime."""
        since = moment.astimezone(UTC)
        start = since.astimezone(self._zone).date() - _DAY
        for day in self._days(start):
            found = self._first_on(day, since)
            if found is None:
                continue
            # The repeated hour of a day may reach past its midnight.
            tomorrow = day + _DAY
            later = self._first_on(tomorrow, since) if self._shifts(day) and self._matches(tomorrow) else None
            return found if later is None else min(found, later)
        return None

    def _matches(self, day: date) -> bool:
        return day.month in self._fields.months and self._fields.match_day(day)

    def _days(self, start: date) -> Iterator[date]:
        """The days that match, from `start` on."""
        day, end = start, date(min(start.year + YEARS, date.max.year), 1, 1)
        while day < end:
            if day.month not in self._fields.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self._fields.match_day(day):
                yield day
            day += _DAY

    def _first_on(self, day: date, since: datetime) -> datetime | None:
        if self._shifts(day):
            moments = self._moments_on(day)
            passed = bisect_right(moments, since)
            return moments[passed] if passed < len(moments) else None
        offset = self._offset(day)
        wall = since.replace(tzinfo=None) + offset
        if wall.date() > day:
            return None
        passed = bisect_right(self._times, 60 * wall.hour + wall.minute) if wall.date() == day else 0
        if passed == len(self._times):
            return None
        return (_wall(day, self._times[passed]) - offset).replace(tzinfo=UTC)

    def _offset(self, day: date, *, fold: int = 0) -> timedelta:
        return datetime.combine(day, time(), self._zone).replace(fold=fold).utcoffset() or timedelta()

    def _shifts(self, day: date) -> bool:
        """Whether the clocks change on that day."""
        return self._offset(day) != self._offset(day + _DAY, fold=1)

    def _moments_on(self, day: date) -> list[datetime]:
        """The due times of a day on which the clocks change, in their order."""
        if day in self._changed:
            return self._changed[day]
        found: set[datetime] = set()
        for minutes in self._times:
            first, second = self._readings(_wall(day, minutes))
            if second < first:
                if self.fixed:
                    found.add(self._change_between(second, first))
            else:
                found |= {first} if self.fixed else {first, second}
        # a change at midnight is one of two days: both are kept, and no other
        self._changed = {one: moments for one, moments in self._changed.items() if abs(one - day) == _DAY}
        self._changed[day] = sorted(found)
        return self._changed[day]

    def _readings(self, wall: datetime) -> tuple[datetime, datetime]:
        """A time on the wall as the two moments that it may mean: the same one on most days.

        In the hour that comes twice the first is before the second; in the one that is left out, after it (PEP 495).
        """
        local = wall.replace(tzinfo=self._zone)
        return local.replace(fold=0).astimezone(UTC), local.replace(fold=1).astimezone(UTC)

    def _change_between(self, before: datetime, until: datetime) -> datetime:
        """The moment at which the clocks change, to the second."""
        old = before.astimezone(self._zone).utcoffset()
        while until - before > timedelta(seconds=1):
            middle = (before + (until - before) / 2).replace(microsecond=0)
            if middle.astimezone(self._zone).utcoffset() == old:
                before = middle
            else:
                until = middle
        return until

    def note(self, due: datetime) -> str | None:
        """What a change of the clocks does to a due time, in a sentence; None on ordinary days."""
        local = due.astimezone(self._zone)
        gone = self._left_out(due) if self.fixed else []
        if gone:
            verb = "does" if len(gone) == 1 else "do"
            times = " and ".join(gone)
            return f"{times} {verb} not exist on {local:%Y-%m-%d}; fires at {local:%H:%M}."
        first, second = self._readings(local.replace(tzinfo=None))
        if first < second:
            often = "once, the first time" if self.fixed else "both times"
            return f"{local:%H:%M} comes twice on {local:%Y-%m-%d}; fires {often}."
        return None

    def _left_out(self, due: datetime) -> list[str]:
        """The times on the wall that a change of the clocks left out, and that fire at `due` instead."""
        today = due.astimezone(self._zone).date()
        gone: list[str] = []
        for day in (today - _DAY, today):
            if not self._shifts(day) or not self._matches(day):
                continue
            for minutes in self._times:
                first, second = self._readings(_wall(day, minutes))
                if second < first and self._change_between(second, first) == due:
                    gone.append(f"{minutes // 60:02}:{minutes % 60:02}")
        return gone

    def shortest_gap(self, moment: datetime) -> float:
        """The shortest time between two due times, in seconds: within one day, and over the next fifty."""
        gaps = [60.0 * (later - earlier) for earlier, later in pairwise(self._times)]
        due = self.after(moment)
        for _ in range(50):
            following = self.after(due) if due is not None else None
            if due is None or following is None:
                break
            gaps.append((following - due).total_seconds())
            due = following
        return min(gaps, default=float("inf"))


def _wall(day: date, minutes: int) -> datetime:
    return datetime.combine(day, time(minutes // 60, minutes % 60))


@lru_cache(maxsize=2_000)
def crontab(expression: str, zone: ZoneInfo) -> Crontab:
    """The same object for the same expression and zone. Raises ValueError."""
    return Crontab(expression, zone)
