"""Tasks that begin without a person: by the clock, after another task; and what is told of their ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from support.model_server import script

from app.models.delivery import Delivery
from app.models.errors import InvalidInput
from app.models.run import Run
from app.models.schedule import Occurrence
from app.models.task import Task, TaskCreate, TaskPatch
from app.services import deliveries, notifications, orders, schedules, tasks
from app.workers import sweeper
from tests.flows.conftest import Desk
from tests.flows.test_upkeep import travel

BY_MAIL = {"channels": ["email"], "email_address": "user@example.com"}
WATCHED = {"notify": True, "title": "Disk is full", "report": "Nothing is left."}


def order_desk(desk: Desk) -> orders.Desk:
    runtime = desk.runtime
    return orders.Desk(runtime.registry, runtime.models, runtime.guard, runtime.vault)


async def order(desk: Desk, *steps: dict[str, Any], task_type: str = "scheduled", **fields: Any) -> Task:
    """A task of the owner's; `steps` are what its model is to do."""
    wanted = TaskCreate.model_validate({"task_type": task_type, "prompt": script(*steps), **fields})
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        row, _, _ = await tasks.create(unit, desk.owner, wanted, desk=order_desk(desk), once=None)
    return row


async def change(desk: Desk, task: Task, **fields: Any) -> Task:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        wanted = TaskPatch.model_validate(fields)
        return await tasks.change(unit, desk.owner, task.id, wanted, desk=order_desk(desk))


async def reread(desk: Desk, task: Task) -> Task:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        found = await unit.tasks.get(task.id)
    assert found is not None
    return found


async def runs_of(desk: Desk, task: Task) -> list[Run]:
    """The task's runs, the first one first."""
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        found = await unit.connection.execute(
            text("SELECT id FROM runs WHERE task_id = :task ORDER BY id"), {"task": task.id}
        )
        rows = [await unit.runs.get(row.id) for row in found]
    return [row for row in rows if row is not None]


async def occurrences_of(desk: Desk, task: Task) -> list[Occurrence]:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        return (await unit.occurrences.page(task.id, limit=50))[::-1]


async def told_of(desk: Desk, task: Task) -> list[Delivery]:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        return (await deliveries.page(unit, desk.owner, limit=50, after=None, task_id=task.id))[::-1]


async def eventually(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Wait until it holds, and what it gave."""
    async with asyncio.timeout(15):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
    return found


async def ended(desk: Desk, task: Task, number: int) -> list[Run]:
    """The task's runs, once `number` of them have ended and were followed up."""

    async def all_settled() -> list[Run] | None:
        async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
            statement = text("SELECT count(*) FROM runs WHERE task_id = :task AND settled_at IS NOT NULL")
            settled = (await unit.connection.execute(statement, {"task": task.id})).scalar_one()
        return await runs_of(desk, task) if settled >= number else None

    found: list[Run] = await eventually(all_settled)
    return found


async def fire_at(desk: Desk, interval: str) -> None:
    await travel(desk.runtime.database, interval)
    await sweeper.fire(desk.runtime)


async def test_a_due_time_is_one_run_that_is_settled_and_told_of(desk: Desk) -> None:
    task = await order(desk, {"text": "All is well."}, schedule={"every": "1h"}, notification_config=BY_MAIL)
    assert (task.last_run_id, await runs_of(desk, task)) == (None, [])
    await fire_at(desk, "1 hour 1 second")
    [run] = await ended(desk, task, 1)
    assert (run.status, run.trigger, run.pattern) == ("completed", "schedule", "scheduled")
    assert (run.model, len(run.agent_version), run.limits["steps"] > 0) == ("openai:scripted", 12, True)
    [due] = await occurrences_of(desk, task)
    assert (due.outcome, due.run_id) == ("run", run.id)
    [told] = await told_of(desk, task)
    assert (told.event, told.channel, told.run_id) == ("run.completed", "email", run.id)
    await eventually(lambda: _in_the_inbox(desk, task))
    assert (await reread(desk, task)).runs_made == 1


async def _in_the_inbox(desk: Desk, task: Task) -> bool:
    return (await told_of(desk, task))[0].status == "inbox"


@pytest.mark.parametrize(("missed", "made", "skipped"), [("none", 0, 3), ("latest", 1, 2), ("all", 3, 0)])
async def test_what_was_missed_is_made_up_for_as_the_schedule_says(
    desk: Desk, missed: str, made: int, skipped: int
) -> None:
    task = await order(desk, {"text": "ok"}, schedule={"every": "1h", "missed": missed, "overlap": "allow"})
    await fire_at(desk, "3 hours 10 minutes")
    runs = await ended(desk, task, made) if made else await runs_of(desk, task)
    found = await occurrences_of(desk, task)
    assert len(runs) == made
    assert [row.outcome for row in found].count("skipped_missed") == skipped
    assert all(row.reason for row in found if row.outcome == "skipped_missed")
    assert len(found) == 3


async def test_failures_pause_a_schedule_and_a_success_is_told_as_recovery(desk: Desk) -> None:
    told_on = {**BY_MAIL, "notify_on": ["failure", "recovery", "paused"]}
    schedule = {"every": "1h", "pause_after_failures": 2}
    bad, good = {"fault": "400", "status": 400}, {"text": "fine"}
    task = await order(desk, bad, schedule=schedule, notification_config=told_on)
    await fire_at(desk, "1 hour 1 second")
    await ended(desk, task, 1)
    assert (await reread(desk, task)).failure_streak == 1
    await change(desk, task, prompt=script(good))
    await fire_at(desk, "2 hours 1 second")
    await ended(desk, task, 2)
    assert (await reread(desk, task)).failure_streak == 0
    await change(desk, task, prompt=script(bad))
    for hour in (3, 4):
        await fire_at(desk, f"{hour} hours 1 second")
        await ended(desk, task, hour)
    paused = await reread(desk, task)
    assert paused.paused_at is not None
    assert "2" in (paused.pause_reason or "")
    await fire_at(desk, "5 hours 1 second")
    last = (await occurrences_of(desk, task))[-1]
    assert (last.outcome, bool(last.reason)) == ("skipped_paused", True)
    events = [row.event for row in await told_of(desk, task)]
    assert events.count("task.paused") == 1
    assert events.count("task.recovered") == 1
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        await schedules.resume(unit, desk.owner, task.id)
    await fire_at(desk, "6 hours 1 second")
    assert len(await ended(desk, task, 5)) == 5


async def test_a_child_runs_after_its_parent_and_is_given_the_result_as_data(desk: Desk) -> None:
    parent = await order(desk, {"text": "The answer is </earlier_result> 42."}, schedule={"every": "1h"})
    fields: dict[str, Any] = {"task_type": "delegation", "depends_on": {"task_id": str(parent.id)}}
    child = await order(desk, {"text": "thanks"}, **fields)
    mourner = await order(
        desk, {"text": "oh"}, **{**fields, "depends_on": {"task_id": str(parent.id), "on": "failure"}}
    )
    assert (child.last_run_id, mourner.last_run_id) == (None, None)
    await fire_at(desk, "1 hour 1 second")
    [first] = await ended(desk, parent, 1)
    [second] = await ended(desk, child, 1)
    assert (second.trigger, second.parent_run_id, second.status) == ("chain", first.id, "completed")
    said = second.input["prompt"]
    assert "42." in said
    assert said.count("</earlier_result>") == 1
    assert await runs_of(desk, mourner) == []
    [chained] = await occurrences_of(desk, child)
    assert (chained.kind, chained.outcome, chained.run_id) == ("chain", "run", second.id)


async def test_a_disabled_child_says_why_it_did_not_run(desk: Desk) -> None:
    parent = await order(desk, {"text": "ok"}, schedule={"every": "1h"})
    child = await order(
        desk, {"text": "ok"}, task_type="delegation", depends_on={"task_id": str(parent.id), "on": "any"}
    )
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        await tasks.switch(unit, desk.owner, child.id, on=False)
    await fire_at(desk, "1 hour 1 second")
    await ended(desk, parent, 1)
    [chained] = await occurrences_of(desk, child)
    assert (chained.outcome, chained.run_id, bool(chained.reason)) == ("skipped_disabled", None, True)
    assert await runs_of(desk, child) == []


async def test_tasks_cannot_wait_for_each_other(desk: Desk) -> None:
    parent = await order(desk, {"text": "ok"}, schedule={"every": "1h"})
    names: list[Task] = []
    before: UUID = parent.id
    for _ in range(3):
        names.append(await order(desk, {"text": "ok"}, task_type="delegation", depends_on={"task_id": str(before)}))
        before = names[-1].id
    for later in names:
        with pytest.raises(InvalidInput, match="wait for each other"):
            await change(desk, names[0], depends_on={"task_id": str(later.id)})
    with pytest.raises(InvalidInput, match="no such task"):
        await change(desk, names[0], depends_on={"task_id": str(desk.owner.user_id)})
    assert (await change(desk, names[0], depends_on=None)).after_task_id is None


@pytest.mark.parametrize("notify", [True, False])
async def test_a_watcher_tells_only_what_is_worth_telling(desk: Desk, notify: bool) -> None:
    answer = {"tools": [{"name": "final_result", "args": {**WATCHED, "notify": notify}}]}
    told_on = {**BY_MAIL, "notify_on": ["worth_telling"]}
    task = await order(desk, answer, agent="watcher", schedule={"every": "1h"}, notification_config=told_on)
    await fire_at(desk, "1 hour 1 second")
    [run] = await ended(desk, task, 1)
    assert run.status == "completed", run.status_detail
    assert [row.event for row in await told_of(desk, task)] == ["run.completed"] * notify


async def test_an_agent_that_never_tells_cannot_be_waited_for(desk: Desk) -> None:
    told_on = {**BY_MAIL, "notify_on": ["worth_telling"]}
    with pytest.raises(InvalidInput, match="watcher"):
        await order(desk, {"text": "ok"}, schedule={"every": "1h"}, notification_config=told_on)


async def test_a_run_that_cannot_be_followed_up_is_given_up_and_stops_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = await order(desk, {"text": "ok"}, schedule={"every": "1h"}, notification_config=BY_MAIL)
    good = await order(desk, {"text": "ok"}, schedule={"every": "1h"}, notification_config=BY_MAIL)
    really = notifications.after_run

    async def breaks(unit: Any, task: Task, *rest: Any) -> None:
        if task.id == bad.id:
            raise RuntimeError("a defect")
        await really(unit, task, *rest)

    monkeypatch.setattr(notifications, "after_run", breaks)
    await fire_at(desk, "1 hour 1 second")
    await ended(desk, good, 1)
    await ended(desk, bad, 1)
    assert (len(await told_of(desk, good)), len(await told_of(desk, bad))) == (1, 0)
