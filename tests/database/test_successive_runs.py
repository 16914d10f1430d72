"""Runs that are still active when the next due time comes, and runs that fail again and again."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest
from support.clock import Bench, clock, known

from app.database.connection import Database

HOUR = timedelta(hours=1)


@pytest.fixture
async def bench(database: Database) -> AsyncGenerator[Bench]:
    """A workspace; the clock is put back afterwards."""
    async with clock(database):
        yield await Bench.of(database)


async def test_overlap_skip_says_which_run_was_active(bench: Bench) -> None:
    task = await bench.task(every="1h")
    await bench.later(HOUR)
    await bench.later(2 * HOUR)
    rows = await bench.rows(task)
    assert [row.outcome for row in rows] == ["run", "skipped_overlap"]
    assert str(rows[0].run_id) in (rows[1].reason or "")
    await bench.end(known(rows[0].run_id), "completed")
    await bench.later(3 * HOUR)
    assert await bench.outcomes(task) == ["run", "skipped_overlap", "run"]


async def test_overlap_allow_does_not_ask(bench: Bench) -> None:
    task = await bench.task(every="1h", overlap="allow")
    await bench.later(HOUR)
    await bench.later(2 * HOUR)
    assert await bench.outcomes(task) == ["run", "run"]


async def test_overlap_queue_one_lets_one_wait_and_begin_afterwards(bench: Bench) -> None:
    task = await bench.task(every="1h", overlap="queue_one")
    for hours in (1, 2, 3):
        await bench.later(hours * HOUR)
    assert await bench.outcomes(task) == ["run", "waiting", "skipped_overlap"]
    [first] = await bench.runs(task)
    assert await bench.settle(task, await bench.end(first, "completed")) is None
    rows = await bench.rows(task)
    assert [row.outcome for row in rows] == ["run", "run", "skipped_overlap"]
    assert await bench.runs(task) == [first, rows[1].run_id]
    assert rows[1].reason
    assert (await bench.again(task)).runs_made == 2


async def test_one_that_waits_is_skipped_when_the_task_is_paused_meanwhile(bench: Bench) -> None:
    task = await bench.task(every="1h", overlap="queue_one", pause_after_failures=1)
    await bench.later(HOUR)
    await bench.later(2 * HOUR)
    [first] = await bench.runs(task)
    assert await bench.settle(task, await bench.end(first, "failed", "The model is gone.")) == "paused"
    assert await bench.outcomes(task) == ["run", "skipped_paused"]
    assert await bench.runs(task) == [first]


async def test_overlap_cancel_running_stops_the_run_before(bench: Bench) -> None:
    task = await bench.task(every="1h", overlap="cancel_running")
    await bench.later(HOUR)
    [first] = await bench.runs(task)
    await bench.later(2 * HOUR)
    assert await bench.outcomes(task) == ["run", "run"]
    async with bench.database.begin(bench.workspace_id) as unit:
        found = await unit.runs.get(first)
        second = (await bench.runs(task))[1]
        await unit.runs.transition(second, ("queued",), "running", attempt=1)
    assert found is not None
    assert found.status == "cancelled"
    await bench.later(3 * HOUR)
    async with bench.database.begin(bench.workspace_id) as unit:
        running = await unit.runs.get(second)
        assert running is not None
        assert (running.status, running.cancel_requested_at is not None) == ("running", True)
        third = (await bench.runs(task))[2]
        await unit.runs.transition(third, ("queued",), "running", attempt=1)
        await unit.runs.transition(third, ("running",), "waiting")
    await bench.later(4 * HOUR)
    async with bench.database.begin(bench.workspace_id) as unit:
        waiting = await unit.runs.get(third)
    assert waiting is not None
    # A worker closes its history; it is told why.
    assert (waiting.status, waiting.status_reason) == ("queued", "superseded")
    assert waiting.cancel_requested_at is not None


async def test_failures_in_a_row_pause_the_task_and_a_success_ends_the_row(bench: Bench) -> None:
    task = await bench.task(every="1h", pause_after_failures=3)
    told: list[str | None] = []
    for hours, status in enumerate(("failed", "failed", "completed", "failed", "cancelled", "failed", "failed"), 1):
        await bench.later(hours * HOUR)
        told.append(await bench.settle(task, await bench.end((await bench.runs(task))[-1], status, "No key.")))
    assert told == [None, None, "recovered", None, None, None, "paused"]
    after = await bench.again(task)
    assert (after.paused_by, after.failure_streak) == ("system", 3)
    assert after.pause_reason == "Paused after 3 failures in a row. The last one: No key."
    await bench.later(8 * HOUR)
    assert (await bench.outcomes(task))[-1] == "skipped_paused"


async def test_no_number_of_failures_pauses_a_task_that_says_so(bench: Bench) -> None:
    task = await bench.task(every="1h", pause_after_failures=None)
    for hours in range(1, 8):
        await bench.later(hours * HOUR)
        run = await bench.end((await bench.runs(task))[-1], "failed")
        assert await bench.settle(task, run) is None
    assert (await bench.again(task)).failure_streak == 7
