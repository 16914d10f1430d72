"""Cron when the clocks change: in New York, Berlin and on Lord Howe, and around any change by an oracle."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cron_oracle import Oracle, following

from app.services.crontab import Crontab, crontab

NOW = datetime(2026, 11, 21, 7, 3, tzinfo=UTC)
BERLIN, NEW_YORK, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")


def at(zone: ZoneInfo, *parts: int, fold: int = 0) -> datetime:
    """A time on a wall."""
    return datetime(*parts, tzinfo=zone, fold=fold).astimezone(UTC)  # type: ignore[arg-type,misc]


CHANGES = [
    # zone, expression, after (on the wall), what fires next
    # Berlin, 28 March 2027: 02:00 becomes 03:00
    (BERLIN, "30 2 * * *", (2027, 3, 27, 12), [at(BERLIN, 2027, 3, 28, 3, 0), at(BERLIN, 2027, 3, 29, 2, 30)]),
    (BERLIN, "0 2 * * *", (2027, 3, 27, 12), [at(BERLIN, 2027, 3, 28, 3, 0), at(BERLIN, 2027, 3, 29, 2, 0)]),
    (BERLIN, "0,30 2 * * *", (2027, 3, 27, 12), [at(BERLIN, 2027, 3, 28, 3, 0), at(BERLIN, 2027, 3, 29, 2, 0)]),
    (BERLIN, "30 2,3 * * *", (2027, 3, 27, 12), [at(BERLIN, 2027, 3, 28, 3, 0), at(BERLIN, 2027, 3, 28, 3, 30)]),
    (BERLIN, "0 2,3 * * *", (2027, 3, 27, 12), [at(BERLIN, 2027, 3, 28, 3, 0), at(BERLIN, 2027, 3, 29, 2, 0)]),
    (BERLIN, "30 2 28 3 *", (2027, 3, 27, 12), [at(BERLIN, 2027, 3, 28, 3, 0), at(BERLIN, 2028, 3, 28, 2, 30)]),
    (BERLIN, "0 9 * * *", (2027, 3, 27, 12), [at(BERLIN, 2027, 3, 28, 9, 0), at(BERLIN, 2027, 3, 29, 9, 0)]),
    (BERLIN, "*/30 * * * *", (2027, 3, 28, 1, 15), [at(BERLIN, 2027, 3, 28, 1, 30), at(BERLIN, 2027, 3, 28, 3, 0)]),
    # Berlin, 31 October 2027: 03:00 becomes 02:00
    (BERLIN, "30 2 * * *", (2027, 10, 30, 12), [at(BERLIN, 2027, 10, 31, 2, 30), at(BERLIN, 2027, 11, 1, 2, 30)]),
    (BERLIN, "0 3 * * *", (2027, 10, 30, 12), [at(BERLIN, 2027, 10, 31, 3, 0), at(BERLIN, 2027, 11, 1, 3, 0)]),
    (
        BERLIN,
        "*/30 * * * *",
        (2027, 10, 31, 1, 45),
        [
            at(BERLIN, 2027, 10, 31, 2, 0),
            at(BERLIN, 2027, 10, 31, 2, 30),
            at(BERLIN, 2027, 10, 31, 2, 0, fold=1),
            at(BERLIN, 2027, 10, 31, 2, 30, fold=1),
            at(BERLIN, 2027, 10, 31, 3, 0),
        ],
    ),
    # New York, 14 March 2027: 02:00 becomes 03:00; 7 November 2027: 02:00 becomes 01:00
    (NEW_YORK, "15 2 * * *", (2027, 3, 13, 12), [at(NEW_YORK, 2027, 3, 14, 3, 0), at(NEW_YORK, 2027, 3, 15, 2, 15)]),
    (NEW_YORK, "30 1 * * *", (2027, 11, 6, 12), [at(NEW_YORK, 2027, 11, 7, 1, 30), at(NEW_YORK, 2027, 11, 8, 1, 30)]),
    (
        NEW_YORK,
        "*/30 * * * *",
        (2027, 11, 7, 0, 45),
        [
            at(NEW_YORK, 2027, 11, 7, 1, 0),
            at(NEW_YORK, 2027, 11, 7, 1, 30),
            at(NEW_YORK, 2027, 11, 7, 1, 0, fold=1),
            at(NEW_YORK, 2027, 11, 7, 1, 30, fold=1),
            at(NEW_YORK, 2027, 11, 7, 2, 0),
        ],
    ),
    # Lord Howe, 3 October 2027: 02:00 becomes 02:30; 4 April 2027: 02:00 becomes 01:30
    (
        LORD_HOWE,
        "15 2 * * *",
        (2027, 10, 2, 12),
        [at(LORD_HOWE, 2027, 10, 3, 2, 30), at(LORD_HOWE, 2027, 10, 4, 2, 15)],
    ),
    (
        LORD_HOWE,
        "45 1 * * *",
        (2027, 4, 3, 12),
        [at(LORD_HOWE, 2027, 4, 4, 1, 45), at(LORD_HOWE, 2027, 4, 5, 1, 45)],
    ),
    (
        LORD_HOWE,
        "*/15 * * * *",
        (2027, 4, 4, 1, 20),
        [
            at(LORD_HOWE, 2027, 4, 4, 1, 30),
            at(LORD_HOWE, 2027, 4, 4, 1, 45),
            at(LORD_HOWE, 2027, 4, 4, 1, 30, fold=1),
            at(LORD_HOWE, 2027, 4, 4, 1, 45, fold=1),
            at(LORD_HOWE, 2027, 4, 4, 2, 0),
        ],
    ),
    (
        LORD_HOWE,
        "*/30 2 * * *",
        (2027, 4, 4, 1, 50),
        [at(LORD_HOWE, 2027, 4, 4, 2, 0), at(LORD_HOWE, 2027, 4, 4, 2, 30)],
    ),
]


@pytest.mark.parametrize(("zone", "expression", "after", "expected"), CHANGES)
def test_due_times_when_the_clocks_change(
    zone: ZoneInfo, expression: str, after: tuple[int, ...], expected: list[datetime]
) -> None:
    assert following(Crontab(expression, zone), at(zone, *after), len(expected)) == expected


def test_a_fixed_time_that_comes_twice_fires_once_whenever_it_is_asked() -> None:
    table = Crontab("30 2 * * *", BERLIN)
    between = at(BERLIN, 2027, 10, 31, 2, 10, fold=1)
    assert table.after(between) == at(BERLIN, 2027, 11, 1, 2, 30)


def test_notes_tell_what_the_clocks_do() -> None:
    spring, autumn = at(BERLIN, 2027, 3, 28, 3, 0), at(BERLIN, 2027, 10, 31, 2, 30)
    assert crontab("30 2 * * *", BERLIN).note(spring) == "02:30 does not exist on 2027-03-28; fires at 03:00."
    assert crontab("0,30 2 * * *", BERLIN).note(spring) == "02:00 and 02:30 do not exist on 2027-03-28; fires at 03:00."
    assert crontab("0 3 * * *", BERLIN).note(spring) is None
    assert crontab("30 2 * * *", BERLIN).note(autumn) == "02:30 comes twice on 2027-10-31; fires once, the first time."
    assert crontab("*/30 * * * *", BERLIN).note(autumn) == "02:30 comes twice on 2027-10-31; fires both times."
    assert crontab("30 2 * * *", BERLIN).note(at(BERLIN, 2027, 10, 30, 2, 30)) is None


# Properties


def field(low: int, high: int) -> st.SearchStrategy[str]:
    """One field: a star, a number, a range, a list, with and without steps."""
    number = st.integers(low, high)
    pair = st.tuples(number, number).map(sorted)
    span = pair.map(lambda ends: f"{ends[0]}-{ends[1]}")
    step = st.integers(1, high).map(str)
    single = st.one_of(number.map(str), span, st.builds("{}/{}".format, span, step))
    return st.one_of(
        st.just("*"), st.builds("*/{}".format, step), st.lists(single, min_size=1, max_size=3).map(",".join)
    )


EXPRESSIONS = st.tuples(field(0, 59), field(0, 23), field(1, 28), st.just("*"), field(0, 7)).map(" ".join)
ZONES = st.sampled_from(
    [
        *(BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("UTC"), ZoneInfo("America/Nuuk"), ZoneInfo("Asia/Kathmandu")),
        *(
            ZoneInfo("America/St_Johns"),
            ZoneInfo("Africa/Casablanca"),
            ZoneInfo("America/Havana"),
            ZoneInfo("Asia/Beirut"),
        ),
    ]
)
CHANGE_DAYS = st.sampled_from(
    [
        datetime(2027, *day, tzinfo=UTC)
        for day in ((3, 13), (3, 27), (10, 30), (11, 6), (4, 3), (10, 2), (2, 6), (3, 6), (3, 13), (6, 15))
    ]
)


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS, ZONES, CHANGE_DAYS)
def test_any_expression_agrees_with_the_oracle_around_a_change_of_the_clocks(
    expression: str, zone: ZoneInfo, day: datetime
) -> None:
    end = day + timedelta(days=2)
    expected = list(Oracle(expression).fires(zone, day, end))
    table = Crontab(expression, zone)
    assert [due for due in following(table, day, len(expected) + 1) if due <= end] == expected


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS, ZONES, st.integers(0, 4 * 365 * 86_400))
def test_due_times_always_rise_and_stand_on_the_wall(expression: str, zone: ZoneInfo, seconds: int) -> None:
    start = NOW + timedelta(seconds=seconds)
    due = following(Crontab(expression, zone), start, 10)
    assert due == sorted(set(due))
    assert all(one > start and one.second == one.microsecond == 0 for one in due)
    walls = [one.astimezone(zone) for one in due]
    assert all(wall.astimezone(UTC).astimezone(zone) == wall for wall in walls)
