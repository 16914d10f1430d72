"""Overlap `cancel_running`: the next run of a schedule takes over from one that runs, waits for people, or queues."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest
from sqlalchemy import text
from support.clock import clock, move

from app.models.task import Task
from app.services import firing
from tests.flows.conftest import Desk
from tests.flows.test_standing_orders import ended, eventually, occurrences_of, order, runs_of

POST = {"tools": [{"name": "http_post", "args": {"target": "hook", "data": {"n": 1}}}]}
HOLD = {"text": "slow answer", "chunks": 4, "hold_s": 20, "hold_after": 1}
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
async def put_back(desk: Desk) -> AsyncGenerator[None]:
    """The ledger's clock is put back afterwards."""
    async with clock(desk.runtime.database):
        yield


async def fire(desk: Desk, task: Task, hours: int, status: str) -> None:
    """Fire the due time of that hour, and wait until its run is in that state."""
    await move(desk.runtime.database, hours * HOUR + timedelta(seconds=1))
    await firing.fire_due(desk.runtime.database)

    async def there() -> bool:
        return (await runs_of(desk, task))[-1].status == status

    await eventually(there)


async def test_a_run_that_waits_for_people_is_closed_with_its_approvals(desk: Desk) -> None:
    targets = [{"name": "hook", "url": f"{desk.far_end.url}/hook", "approval": "ask"}]
    schedule = {"every": "1h", "overlap": "cancel_running"}
    task = await order(desk, POST, {"text": "posted"}, schedule=schedule, targets=targets)
    await fire(desk, task, 1, "waiting")
    await fire(desk, task, 2, "waiting")
    first, second = await ended(desk, task, 1)
    assert (first.status, first.status_reason, second.status) == ("cancelled", "superseded", "waiting")
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        found = await unit.connection.execute(text("SELECT status FROM approvals ORDER BY id"))
        assert [row.status for row in found] == ["superseded", "pending"]
    await desk.entries(first.conversation_id)
    assert [row.outcome for row in await occurrences_of(desk, task)] == ["run", "run"]


async def test_a_run_under_way_is_stopped(desk: Desk) -> None:
    task = await order(desk, HOLD, schedule={"every": "1h", "overlap": "cancel_running"})
    await fire(desk, task, 1, "running")
    await fire(desk, task, 2, "running")
    first, second = await ended(desk, task, 1)
    assert (first.status, first.status_reason, second.status) == ("cancelled", "superseded", "running")
    await desk.cancel(second.id)
    await ended(desk, task, 2)
