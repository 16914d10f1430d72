"""Schedules: what is refused and where, first due times, steps, jitter, words."""

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.models.errors import InvalidInput
from app.models.schedule import ScheduleIn
from app.services.timetable import describe, first, preview, timetable

NOW = datetime(2026, 11, 21, 7, 3, 0, 250_000, tzinfo=UTC)
TASK = UUID("0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11")


def made(**fields: Any) -> ScheduleIn:
    return ScheduleIn.model_validate(fields)


def due(**fields: Any) -> list[str]:
    """The first three due times."""
    table = timetable(made(**fields), NOW.replace(microsecond=0))
    return [f"{one:%m-%d %H:%M:%S}" for one in islice(table.walk(NOW), 3)]


SHAPES: list[tuple[dict[str, Any], str]] = [
    ({}, "exactly one"),
    ({"cron": "0 9 * * *", "every": 60}, "exactly one"),
    ({"every": 0.5}, "one second"),
    ({"every": True}, "seconds"),
    ({"every": "15 minutes"}, "90s, 15m"),
    ({"every": "999999999w"}, "five years"),
    ({"every": []}, "seconds"),
    ({"at": 1_800_000_000}, "as text"),
    ({"at": "1800000000"}, "as text"),
    ({"at": "2026-12-01T09:00:00"}, "offset"),
    ({"at": "2026-12-01"}, "as text"),
    ({"cron": "0 9 * * *", "start_at": "soon"}, "as text"),
    ({"cron": "0 9 * * *", "overlap": "pile_up"}, "skip"),
    ({"cron": "0 9 * * *", "max_runs": 0}, "greater"),
    ({"cron": 5}, "string"),
    ({"cron": "0 9 * * *", "color": "red"}, "not permitted"),
]


@pytest.mark.parametrize(("fields", "message"), SHAPES)
def test_shapes_that_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        made(**fields)


REFUSED = [
    ({"cron": "61 * * * *"}, "cron"),
    ({"cron": "0 0 30 2 *"}, "cron"),
    ({"cron": "0 0 * 2 mon#5"}, "cron"),
    ({"cron": "* * * * *", "end_at": "2026-11-21T07:03:30Z"}, "cron"),
    ({"every": 30}, "every"),
    ({"every": "59s"}, "every"),
    ({"at": "2026-11-21T07:03:00Z"}, "at"),
    ({"at": "2032-11-21T07:03:00Z"}, "at"),
    ({"at": "0001-01-01T00:00:00+14:00"}, "at"),
    ({"at": "9999-12-31T23:59:59-12:00"}, "at"),
    ({"cron": "0 9 * * *", "start_at": "2032-01-01T00:00:00Z"}, "start_at"),
    ({"cron": "0 9 * * *", "end_at": "2026-11-20T00:00:00Z"}, "end_at"),
    ({"cron": "0 9 * * *", "start_at": "2027-01-01T00:00:00Z", "end_at": "2026-12-01T00:00:00Z"}, "end_at"),
    ({"cron": "0 9 * * *", "timezone": "europe/berlin"}, "timezone"),
    ({"cron": "0 9 * * *", "timezone": "Mars/Olympus"}, "timezone"),
    ({"cron": "0 9 * * *", "timezone": "../../etc/passwd"}, "timezone"),
    ({"cron": "0 9 * * *", "timezone": "/usr/share/zoneinfo/UTC"}, "timezone"),
    ({"cron": "0 9 * * *", "timezone": "Europe/Berlin "}, "timezone"),
    ({"cron": "0 9 * * *", "timezone": "right/UTC"}, "timezone"),
    ({"cron": "0 9 * * *", "timezone": "localtime"}, "timezone"),
    ({"cron": "0 9 * * *", "timezone": "zone.tab"}, "timezone"),
    ({"every": 600, "jitter_seconds": 601}, "jitter_seconds"),
]


@pytest.mark.parametrize(("fields", "field"), REFUSED)
def test_what_cannot_be_used_is_refused_with_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        first(made(**fields), now=NOW, min_seconds=60)
    assert caught.value.extra["errors"][0]["loc"] == f"body.schedule.{field}"
    assert caught.value.detail.startswith(f"body.schedule.{field}: ")


def test_cron_more_often_than_the_workspace_allows_is_refused_even_if_that_is_rare() -> None:
    for expression in ("*/30 * * * *", "0,10 3 1 1 *", "59 23 * * *"):
        often = expression.startswith(("*", "0,"))
        if not often:
            first(made(cron=expression), now=NOW, min_seconds=3_600)
            continue
        with pytest.raises(InvalidInput, match="3600 s"):
            first(made(cron=expression), now=NOW, min_seconds=3_600)


def test_first_due_times() -> None:
    def begins(**fields: Any) -> str:
        return f"{first(made(**fields), now=NOW, min_seconds=1)[0]:%m-%d %H:%M:%S}"

    assert begins(cron="0 9 * * *", timezone="America/New_York") == "11-21 14:00:00"
    assert begins(cron="0 9 * * *", start_at="2026-12-01T09:00:00Z") == "12-01 09:00:00"
    assert begins(cron="0 9 * * *", start_at="2026-12-01T09:00:01Z") == "12-02 09:00:00"
    assert begins(every="15m") == "11-21 07:18:00"
    assert begins(every=90.0) == "11-21 07:04:30"
    assert begins(every="1h", start_at="2026-11-22T00:30:00+01:00") == "11-21 23:30:00"
    assert begins(every="1h", start_at="2026-11-20T00:20:00Z") == "11-21 07:20:00"
    assert begins(at="2026-11-21T07:03:01Z") == "11-21 07:03:01"


def test_steps_count_real_seconds_and_ends_are_included() -> None:
    assert due(every="1d") == ["11-22 07:03:00", "11-23 07:03:00", "11-24 07:03:00"]
    assert due(every="20m", end_at="2026-11-21T07:43:00Z") == ["11-21 07:23:00", "11-21 07:43:00"]
    assert due(at="2026-11-21T09:00:00+01:00") == ["11-21 08:00:00"]
    assert due(cron="0 * * * *", end_at="2026-11-21T08:00:00Z") == ["11-21 08:00:00"]
    berlin = timetable(made(every="1d", start_at="2027-03-27T12:00:00+01:00", timezone="Europe/Berlin"), NOW)
    walls = [one.astimezone(berlin.zone).hour for one in islice(berlin.walk(NOW), 3)]
    assert walls == [12, 13, 13]


def test_jitter_is_drawn_alike_everywhere_and_spreads() -> None:
    table = timetable(made(every="10m", jitter_seconds=300), NOW)
    dues = list(islice(table.walk(NOW), 200))
    late = [(table.fire_at(one, TASK) - one).total_seconds() for one in dues]
    again = timetable(made(every="10m", jitter_seconds=300), NOW)
    assert late == [(again.fire_at(one, TASK) - one).total_seconds() for one in dues]
    assert 0 <= min(late) < 30
    assert 270 < max(late) <= 300
    assert table.fire_at(dues[0], UUID(int=1)) != table.fire_at(dues[0], TASK)
    assert first(made(every="10m", jitter_seconds=300), now=NOW, min_seconds=60, task_id=TASK)[1] != dues[0]


WORDS = [
    ({"cron": "0 9 * * *"}, "At 09:00 (UTC)"),
    ({"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}, "At 09:00, Monday through Friday (Europe/Berlin)"),
    ({"cron": "*/15 * * * *"}, "Every 15 minutes (UTC)"),
    ({"cron": "0 0 1 * 1"}, "At 00:00, on day 1 of the month, or on Monday (UTC)"),
    ({"cron": "0 0 */2 * 1"}, "At 00:00, every 2 days, and only on Monday (UTC)"),
    ({"cron": "30 2 * * 7"}, "At 02:30, only on Sunday (UTC)"),
    ({"cron": "@hourly"}, "Every hour (UTC)"),
    ({"cron": "@weekly"}, "At 00:00, only on Sunday (UTC)"),
    ({"every": 90}, "Every 90 seconds"),
    ({"every": "120m"}, "Every 2 hours"),
    ({"every": "1d"}, "Every day"),
    ({"at": "2026-12-01T08:00:00Z", "timezone": "Europe/Berlin"}, "Once, on 2026-12-01 at 09:00 (Europe/Berlin)"),
]


@pytest.mark.parametrize(("fields", "words"), WORDS)
def test_a_schedule_in_words(fields: dict[str, Any], words: str) -> None:
    assert describe(made(**fields)) == words


def test_a_preview_shows_both_clocks() -> None:
    table = timetable(made(cron="30 2 * * *", timezone="Europe/Berlin"), NOW)
    shown = preview(table, datetime(2027, 3, 27, 12, tzinfo=UTC), 2)
    assert [one.local for one in shown] == ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"]
    assert [one.note for one in shown] == ["02:30 does not exist on 2027-03-28; fires at 03:00.", None]


@settings(deadline=None)
@given(st.sampled_from(["*/20 * * * *", "*/7 3 * * *", "0 9 * * 1-5", "0 0 1 1 *", "5 4 * * *"]), st.integers(1, 60))
def test_the_latest_due_times_are_the_last_of_all(expression: str, days: int) -> None:
    table = timetable(made(cron=expression), NOW)
    until = NOW + timedelta(days=days)
    every = list(takewhile(lambda one: one <= until, table.walk(NOW)))
    assert table.latest(NOW, until, 20) == every[-20:]


def test_a_search_ends_with_the_calendar() -> None:
    table = timetable(made(cron="0 0 1 1 *"), NOW)
    assert table.after(datetime(9998, 12, 1, tzinfo=UTC)) is None
