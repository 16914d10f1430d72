"""What becomes of due times: on time, missed, overlapped, paused; each once, whoever looks."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from support.clock import Bench, clock, move, now

from app.database.connection import Database
from app.models.run import Run
from app.models.task import Task
from app.services import firing, schedules

HOUR = timedelta(hours=1)


@pytest.fixture
async def bench(database: Database) -> AsyncGenerator[Bench]:
    """A workspace; the clock is put back afterwards."""
    async with clock(database):
        yield await Bench.of(database)


async def later(bench: Bench, by: timedelta) -> int:
    """Set the clock ahead and fire; how many tasks were due."""
    await move(bench.database, by)
    return (await firing.fire_due(bench.database)).count


async def outcomes(bench: Bench, task: Task) -> list[str]:
    return [row.outcome for row in await bench.rows(task)]


def known(run_id: UUID | None) -> UUID:
    """The run's id, which is there."""
    assert run_id is not None
    return run_id


async def end(bench: Bench, run_id: UUID, status: str, detail: str | None = None) -> Run:
    """End a run as an executor would, without executing it."""
    async with bench.database.begin(bench.workspace_id) as unit:
        await unit.runs.transition(run_id, ("queued",), "running")
        ended = await unit.runs.transition(run_id, ("running",), status, status_detail=detail)  # type: ignore[arg-type]
    assert ended is not None
    return ended


async def settle(bench: Bench, task: Task, run: Run) -> str | None:
    """Follow up an ended run."""
    async with bench.database.begin(bench.workspace_id) as unit:
        locked = await unit.tasks.lock(task.id)
        assert locked is not None
        return await schedules.after_run(unit, locked, run)


async def test_a_due_task_makes_one_run_and_has_its_next_due_time(bench: Bench) -> None:
    task = await bench.task(every="1h")
    assert (await firing.fire_due(bench.database)).count == 0
    assert await later(bench, HOUR) == 1
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
    assert await later(bench, 3.5 * HOUR) == 1
    rows = await bench.rows(task)
    assert [row.outcome for row in rows] == ["skipped_missed"] * (3 - ran) + ["run"] * ran
    assert len(await bench.runs(task)) == ran
    assert all(row.reason for row in rows)
    assert all(f"missed: {missed}" in row.reason for row in rows if row.outcome != "run" and row.reason)
    assert (await bench.again(task)).next_due_at == rows[-1].due_at + HOUR


async def test_what_is_found_at_once_is_on_time_also_without_making_up(bench: Bench) -> None:
    task = await bench.task(every="1h", missed="none")
    await later(bench, 3 * HOUR + timedelta(seconds=20))
    assert await outcomes(bench, task) == ["skipped_missed", "skipped_missed", "run"]


async def test_all_is_capped_at_a_hundred_and_rows_at_a_thousand(bench: Bench) -> None:
    task = await bench.task(every="1m", missed="all")
    other = await bench.task(every="1m", missed="latest")
    await later(bench, timedelta(minutes=5_000.5))
    rows, few = await bench.rows(task), await bench.rows(other)
    assert len(rows) == len(few) == 1_000
    assert [row.outcome for row in rows].count("run") == len(await bench.runs(task)) == 100
    assert [row.outcome for row in rows[-100:]] == ["run"] * 100
    assert len(await bench.runs(other)) == 1
    assert few[-1].outcome == "run"
    assert "not listed" in (rows[0].reason or "")
    assert "not listed" not in (rows[1].reason or "")


async def test_overlap_skip_says_which_run_was_active(bench: Bench) -> None:
    task = await bench.task(every="1h")
    await later(bench, HOUR)
    await later(bench, 2 * HOUR)
    rows = await bench.rows(task)
    assert [row.outcome for row in rows] == ["run", "skipped_overlap"]
    assert str(rows[0].run_id) in (rows[1].reason or "")
    await end(bench, known(rows[0].run_id), "completed")
    await later(bench, 3 * HOUR)
    assert await outcomes(bench, task) == ["run", "skipped_overlap", "run"]


async def test_overlap_allow_does_not_ask(bench: Bench) -> None:
    task = await bench.task(every="1h", overlap="allow")
    await later(bench, HOUR)
    await later(bench, 2 * HOUR)
    assert await outcomes(bench, task) == ["run", "run"]


async def test_overlap_queue_one_lets_one_wait_and_begin_afterwards(bench: Bench) -> None:
    task = await bench.task(every="1h", overlap="queue_one")
    for hours in (1, 2, 3):
        await later(bench, hours * HOUR)
    assert await outcomes(bench, task) == ["run", "waiting", "skipped_overlap"]
    [first] = await bench.runs(task)
    assert await settle(bench, task, await end(bench, first, "completed")) is None
    rows = await bench.rows(task)
    assert [row.outcome for row in rows] == ["run", "run", "skipped_overlap"]
    assert await bench.runs(task) == [first, rows[1].run_id]
    assert rows[1].reason
    assert (await bench.again(task)).runs_made == 2


async def test_one_that_waits_is_skipped_when_the_task_is_paused_meanwhile(bench: Bench) -> None:
    task = await bench.task(every="1h", overlap="queue_one", pause_after_failures=1)
    await later(bench, HOUR)
    await later(bench, 2 * HOUR)
    [first] = await bench.runs(task)
    assert await settle(bench, task, await end(bench, first, "failed", "The model is gone.")) == "paused"
    assert await outcomes(bench, task) == ["run", "skipped_paused"]
    assert await bench.runs(task) == [first]


async def test_overlap_cancel_running_stops_the_run_before(bench: Bench) -> None:
    task = await bench.task(every="1h", overlap="cancel_running")
    await later(bench, HOUR)
    [first] = await bench.runs(task)
    await later(bench, 2 * HOUR)
    assert await outcomes(bench, task) == ["run", "run"]
    async with bench.database.begin(bench.workspace_id) as unit:
        found = await unit.runs.get(first)
        second = (await bench.runs(task))[1]
        await unit.runs.transition(second, ("queued",), "running", attempt=1)
    assert found is not None
    assert found.status == "cancelled"
    await later(bench, 3 * HOUR)
    async with bench.database.begin(bench.workspace_id) as unit:
        running = await unit.runs.get(second)
        assert running is not None
        assert (running.status, running.cancel_requested_at is not None) == ("running", True)
        third = (await bench.runs(task))[2]
        await unit.runs.transition(third, ("queued",), "running", attempt=1)
        await unit.runs.transition(third, ("running",), "waiting")
    await later(bench, 4 * HOUR)
    async with bench.database.begin(bench.workspace_id) as unit:
        waiting = await unit.runs.get(third)
    assert waiting is not None
    # A worker closes its history; it is told why.
    assert (waiting.status, waiting.status_reason) == ("queued", "superseded")
    assert waiting.cancel_requested_at is not None


async def test_paused_and_disabled_tasks_go_on_ticking(bench: Bench) -> None:
    task = await bench.task(every="1h")
    await bench.change(task, paused_at=await now(bench.database), pause_reason="Holidays")
    await later(bench, HOUR)
    await bench.change(task, disabled_at=await now(bench.database))
    await later(bench, 2 * HOUR)
    await bench.change(task, disabled_at=None, paused_at=None)
    await later(bench, 3 * HOUR)
    rows = await bench.rows(task)
    assert [row.outcome for row in rows] == ["skipped_paused", "skipped_disabled", "run"]
    assert rows[0].reason == "The task was paused: Holidays"


async def test_the_end_by_count_by_date_and_at_once(bench: Bench) -> None:
    moment = (await now(bench.database)).replace(microsecond=0)
    counted = await bench.task(every="1h", max_runs=2, missed="all")
    dated = await bench.task(every="1h", end_at=(moment + 2.5 * HOUR).isoformat(), missed="all")
    once = await bench.task(at=(moment + 2 * HOUR).isoformat())
    assert await later(bench, 5.5 * HOUR) == 3
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
    assert await later(bench, 2 * HOUR) == 0
    assert await firing.next_due(bench.database) == (None, None)


async def test_jitter_fires_late_and_keeps_the_due_time(bench: Bench) -> None:
    task = await bench.task(every="1h", jitter_seconds=1_800)
    assert task.next_due_at is not None
    assert task.next_fire_at is not None
    assert task.next_due_at < task.next_fire_at
    assert await later(bench, task.next_fire_at - await now(bench.database) - timedelta(seconds=1)) == 0
    await move(bench.database, timedelta())
    assert await later(bench, task.next_fire_at - await now(bench.database) + timedelta(seconds=1)) == 1
    [row] = await bench.rows(task)
    assert (row.due_at, row.fire_at, row.outcome) == (task.next_due_at, task.next_fire_at, "run")


async def test_a_schedule_that_cannot_be_read_any_more_is_paused_and_blocks_nobody(bench: Bench) -> None:
    broken = await bench.task(cron="0 * * * *")
    unread = await bench.task(every="1h")
    good = await bench.tasks(3, every="1h")
    await bench.change(broken, schedule={**(broken.schedule or {}), "timezone": "Atlantis/Capital"})
    await bench.change(unread, schedule={"cron": 5})
    assert await later(bench, HOUR + timedelta(seconds=5)) == 5
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
    assert await later(bench, HOUR) == 4
    assert [len(await bench.runs(task)) for task in good] == [1, 1, 1]
    assert await bench.rows(bad) == []
    async with bench.database.across() as unit:
        await unit.connection.execute(text("DROP TRIGGER refuse ON occurrences"))
    assert await later(bench, HOUR + timedelta(seconds=61)) == 1
    assert await outcomes(bench, bad) == ["run"]


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
    await later(bench, HOUR)
    await bench.change(task, next_due_at=task.next_due_at, next_fire_at=task.next_fire_at)
    assert await later(bench, HOUR) == 1
    assert len(await bench.rows(task)) == len(await bench.runs(task)) == 1


async def test_failures_in_a_row_pause_the_task_and_a_success_ends_the_row(bench: Bench) -> None:
    task = await bench.task(every="1h", pause_after_failures=3)
    told: list[str | None] = []
    for hours, status in enumerate(("failed", "failed", "completed", "failed", "cancelled", "failed", "failed"), 1):
        await later(bench, hours * HOUR)
        told.append(await settle(bench, task, await end(bench, (await bench.runs(task))[-1], status, "No key.")))
    assert told == [None, None, "recovered", None, None, None, "paused"]
    after = await bench.again(task)
    assert (after.paused_by, after.failure_streak) == ("system", 3)
    assert after.pause_reason == "Paused after 3 failures in a row. The last one: No key."
    await later(bench, 8 * HOUR)
    assert (await outcomes(bench, task))[-1] == "skipped_paused"


async def test_no_number_of_failures_pauses_a_task_that_says_so(bench: Bench) -> None:
    task = await bench.task(every="1h", pause_after_failures=None)
    for hours in range(1, 8):
        await later(bench, hours * HOUR)
        run = await end(bench, (await bench.runs(task))[-1], "failed")
        assert await settle(bench, task, run) is None
    assert (await bench.again(task)).failure_streak == 7


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
