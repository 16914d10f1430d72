"""What becomes of due times: on time, missed, overlapped, paused; each once, whoever looks."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from support.clock import Bench, clock, known, move, now

from app.database.connection import Database
from app.services import firing

HOUR = timedelta(hours=1)


@pytest.fixture
async def bench(database: Database) -> AsyncGenerator[Bench]:
    """A workspace; the clock is put back afterwards."""
    async with clock(database):
        yield await Bench.of(database)


async def test_a_due_task_makes_one_run_and_has_its_next_due_time(bench: Bench) -> None:
    task = await bench.task(every="1h")
    assert (await firing.fire_due(bench.database)).count == 0
    assert await bench.later(HOUR) == 1
    [row] = await bench.rows(task)
    assert (row.outcome, row.kind, row.reason, row.due_at) == ("run", "schedule", None, task.next_due_at)
    assert await bench.runs(task) == [row.run_id]
    after = await bench.again(task)
    assert task.next_due_at is not None
    assert (after.next_due_at, after.runs_made, after.last_run_id) == (task.next_due_at + HOUR, 1, row.run_id)
    fired = await firing.fire_due(bench.database)
    assert (fired.count, fired.next_at) == (0, after.next_due_at)
    assert fired.seconds is not None
    assert 3_590 < fired.seconds <= 3_600
    async with bench.database.begin(bench.workspace_id) as unit:
        run = await unit.runs.get(known(row.run_id))
    assert run is not None
    assert (run.trigger, run.created_by, run.status, run.task_id) == ("schedule", "scheduler", "queued", task.id)


@pytest.mark.parametrize(("missed", "ran"), [("none", 0), ("latest", 1), ("all", 3)])
async def test_down_for_three_occurrences(bench: Bench, missed: str, ran: int) -> None:
    task = await bench.task(every="1h", missed=missed)
    assert await bench.later(3.5 * HOUR) == 1
    rows = await bench.rows(task)
    assert [row.outcome for row in rows] == ["skipped_missed"] * (3 - ran) + ["run"] * ran
    assert len(await bench.runs(task)) == ran
    assert all(row.reason for row in rows)
    assert all(f"missed: {missed}" in row.reason for row in rows if row.outcome != "run" and row.reason)
    assert (await bench.again(task)).next_due_at == rows[-1].due_at + HOUR


async def test_what_is_found_at_once_is_on_time_also_without_making_up(bench: Bench) -> None:
    task = await bench.task(every="1h", missed="none")
    await bench.later(3 * HOUR + timedelta(seconds=20))
    assert await bench.outcomes(task) == ["skipped_missed", "skipped_missed", "run"]


async def test_all_is_capped_at_a_hundred_and_rows_at_a_thousand(bench: Bench) -> None:
    task = await bench.task(every="1m", missed="all")
    other = await bench.task(every="1m", missed="latest")
    await bench.later(timedelta(minutes=5_000.5))
    rows, few = await bench.rows(task), await bench.rows(other)
    assert len(rows) == len(few) == 1_000
    assert [row.outcome for row in rows].count("run") == len(await bench.runs(task)) == 100
    assert [row.outcome for row in rows[-100:]] == ["run"] * 100
    assert len(await bench.runs(other)) == 1
    assert few[-1].outcome == "run"
    assert "not listed" in (rows[0].reason or "")
    assert "not listed" not in (rows[1].reason or "")


async def test_paused_and_disabled_tasks_go_on_ticking(bench: Bench) -> None:
    task = await bench.task(every="1h")
    await bench.change(task, paused_at=await now(bench.database), pause_reason="Holidays")
    await bench.later(HOUR)
    await bench.change(task, disabled_at=await now(bench.database))
    await bench.later(2 * HOUR)
    await bench.change(task, disabled_at=None, paused_at=None)
    await bench.later(3 * HOUR)
    rows = await bench.rows(task)
    assert [row.outcome for row in rows] == ["skipped_paused", "skipped_disabled", "run"]
    assert rows[0].reason == "The task was paused: Holidays"


async def test_the_end_by_count_by_date_and_at_once(bench: Bench) -> None:
    moment = (await now(bench.database)).replace(microsecond=0)
    counted = await bench.task(every="1h", max_runs=2, missed="all")
    dated = await bench.task(every="1h", end_at=(moment + 2.5 * HOUR).isoformat(), missed="all")
    once = await bench.task(at=(moment + 2 * HOUR).isoformat())
    assert await bench.later(5.5 * HOUR) == 3
    assert len(await bench.runs(counted)) == len(await bench.rows(counted)) == 2
    assert len(await bench.runs(dated)) == 2
    assert [row.due_at for row in await bench.rows(once)] == [moment + 2 * HOUR]
    for task in (counted, dated, once):
        after = await bench.again(task)
        assert (after.next_due_at, after.next_fire_at, after.finished_at is not None) == (None, None, True)
    assert await firing.fire_due(bench.database) == firing.Fired(0, None, None)


async def test_deleted_tasks_are_silent(bench: Bench) -> None:
    task = await bench.task(every="1h")
    async with bench.database.begin(bench.workspace_id) as unit:
        await unit.tasks.delete(task.id)
    assert await bench.later(2 * HOUR) == 0
    assert await firing.next_due(bench.database) == (None, None)


async def test_jitter_fires_late_and_keeps_the_due_time(bench: Bench) -> None:
    task = await bench.task(every="1h", jitter_seconds=1_800)
    assert task.next_due_at is not None
    assert task.next_fire_at is not None
    assert task.next_due_at < task.next_fire_at
    assert await bench.later(task.next_fire_at - await now(bench.database) - timedelta(seconds=1)) == 0
    await move(bench.database, timedelta())
    assert await bench.later(task.next_fire_at - await now(bench.database) + timedelta(seconds=1)) == 1
    [row] = await bench.rows(task)
    assert (row.due_at, row.fire_at, row.outcome) == (task.next_due_at, task.next_fire_at, "run")


async def test_a_schedule_that_cannot_be_read_any_more_is_paused_and_blocks_nobody(bench: Bench) -> None:
    broken = await bench.task(cron="0 * * * *")
    unread = await bench.task(every="1h")
    good = await bench.tasks(3, every="1h")
    await bench.change(broken, schedule={**(broken.schedule or {}), "timezone": "Atlantis/Capital"})
    await bench.change(unread, schedule={"cron": 5})
    assert await bench.later(HOUR + timedelta(seconds=5)) == 5
    for task, why in ((broken, "time zone"), (unread, "cannot be read")):
        after = await bench.again(task)
        assert (after.paused_by, after.next_due_at, after.next_fire_at) == ("system", None, None)
        assert why in (after.pause_reason or "")
        assert await bench.rows(task) == []
    assert [len(await bench.runs(task)) for task in good] == [1, 1, 1]


async def test_one_task_that_cannot_be_written_never_stops_the_others(bench: Bench) -> None:
    bad, *good = await bench.tasks(4, every="1h")
    async with bench.database.across() as unit:
        await unit.connection.execute(text(REFUSE))
        await unit.connection.execute(text(TRIGGER.format(task=bad.id)))
    assert await bench.later(HOUR) == 4
    assert [len(await bench.runs(task)) for task in good] == [1, 1, 1]
    assert await bench.rows(bad) == []
    async with bench.database.across() as unit:
        await unit.connection.execute(text("DROP TRIGGER refuse ON occurrences"))
    assert await bench.later(HOUR + timedelta(seconds=61)) == 1
    assert await bench.outcomes(bad) == ["run"]


REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'not this one'; END $$
"""
TRIGGER = """
CREATE TRIGGER refuse BEFORE INSERT ON occurrences FOR EACH ROW
  WHEN (NEW.task_id = '{task}') EXECUTE FUNCTION refuse()
"""


async def test_many_processes_fire_each_due_time_once(bench: Bench) -> None:
    made = await bench.tasks(300, every="1h")
    await move(bench.database, HOUR)
    fired = await asyncio.gather(*(firing.fire_due(bench.database, limit=40) for _ in range(5)))
    assert sum(one.count for one in fired) == 300
    async with bench.database.across() as unit:
        counted = text("SELECT count(*), count(DISTINCT run_id), count(DISTINCT task_id) FROM occurrences")
        assert tuple((await unit.connection.execute(counted)).one()) == (300, 300, 300)
        runs = (await unit.connection.execute(text("SELECT count(*) FROM runs"))).scalar_one()
    assert runs == len(made)


async def test_a_due_time_that_is_recorded_already_makes_no_second_run(bench: Bench) -> None:
    task = await bench.task(every="1h")
    await bench.later(HOUR)
    await bench.change(task, next_due_at=task.next_due_at, next_fire_at=task.next_fire_at)
    assert await bench.later(HOUR) == 1
    assert len(await bench.rows(task)) == len(await bench.runs(task)) == 1


async def test_lateness_of_a_thousand_at_once(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    await bench.tasks(1_000, every="1h", due_at=datetime(2030, 1, 1, tzinfo=UTC))
    async with bench.database.across() as unit:
        await unit.connection.execute(text("UPDATE tasks SET next_due_at = app_now(), next_fire_at = app_now()"))
    await asyncio.gather(*(firing.fire_due(bench.database) for _ in range(3)))
    async with bench.database.across() as unit:
        found: Any = (await unit.connection.execute(text(LATENESS))).one()
    with capsys.disabled():
        print(f"\n1,000 due at once: p50 {found[1]:.0f} ms, p99 {found[2]:.0f} ms")
    assert found[0] == 1_000


LATENESS = """
SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY ms), percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)
  FROM (SELECT extract(epoch FROM recorded_at - fire_at) * 1000 AS ms FROM occurrences WHERE outcome = 'run') late
"""
