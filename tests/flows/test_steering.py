"""A message for a run that is active: read between two of its steps, and never lost, never read twice."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from support.loopback import Loopback

from app.models.run import Run
from app.models.steering import Steering
from tests.flows.conftest import Desk

HOLD = {"text": "slow answer", "chunks": 4, "hold_s": 20, "hold_after": 1, "times": 1}
SUM = {"name": "calculator", "args": {"expression": "6*7"}}
POST = {"name": "http_post", "args": {"target": "hook", "data": {"n": 1}}}


async def holding(desk: Desk, model: Loopback, mark: str, *steps: dict[str, Any]) -> Run:
    """A run whose model has begun to answer and does not go on."""
    run = await desk.say(await desk.conversation(), *steps, mark=mark, stream=True)
    await asyncio.to_thread(model.wait, f"marker={mark}&phase=holding")
    return run


async def kept(desk: Desk, run: Run) -> list[Steering]:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        found = await unit.connection.execute(
            text("SELECT id FROM steering WHERE run_id = :run_id ORDER BY id"), {"run_id": run.id}
        )
        rows = [await unit.steering.get(row.id) for row in found]
    return [row for row in rows if row is not None]


async def story(desk: Desk, conversation_id: UUID) -> list[tuple[str, str]]:
    """Every prompt and answer of the log, by the first words that tell them apart."""
    told: list[tuple[str, str]] = []
    for entry in await desk.entries(conversation_id):
        for part in entry.message["parts"]:
            if part["part_kind"] == "user-prompt":
                told.append(("user", part["content"].partition("SCRIPT")[0].strip().replace("\n", " ")))
            elif part["part_kind"] == "text":
                told.append(("assistant", part["content"]))
            else:
                told.append((part["part_kind"], part["tool_name"]))
    return told


async def runs_of(desk: Desk, conversation_id: UUID) -> list[Run]:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        return (await unit.runs.page(limit=10, conversation_id=conversation_id))[::-1]


async def test_a_message_during_the_last_answer_makes_the_run_go_on(desk: Desk, model: Loopback) -> None:
    run = await holding(desk, model, "last", HOLD)
    again = await desk.say(run.conversation_id, {"text": "in metres"}, mark="metres", on_busy="steer")
    assert again.id == run.id
    model.release("last")
    turn = await desk.answer(run)
    assert turn.result is not None
    assert (turn.run.status, turn.result.text) == ("completed", "in metres")
    assert await story(desk, run.conversation_id) == [
        ("user", "go MARK: last"), ("assistant", "slow answer"), ("user", "go MARK: metres"), ("assistant", "in metres")
    ]  # fmt: skip
    (message,) = await kept(desk, run)
    assert message.delivered_at is not None
    assert len(await runs_of(desk, run.conversation_id)) == 1
    assert turn.run.usage["requests"] == 2


async def test_a_message_during_tools_stands_after_their_results(desk: Desk, model: Loopback) -> None:
    run = await holding(desk, model, "tools", {**HOLD, "tools": [SUM]}, {"text": "forty-two"})
    for word in ("one", "two"):
        await desk.say(run.conversation_id, {"text": f"and {word}"}, mark=word, on_busy="steer")
    model.release("tools")
    turn = await desk.answer(run)
    assert turn.run.status == "completed"
    assert await story(desk, run.conversation_id) == [
        ("user", "go MARK: tools"), ("assistant", "slow answer"), ("tool-call", "calculator"),
        ("tool-return", "calculator"), ("user", "go MARK: one"), ("user", "go MARK: two"), ("assistant", "and two"),
    ]  # fmt: skip
    assert all(message.delivered_at for message in await kept(desk, run))


async def test_what_a_cancelled_run_never_read_is_one_run_in_order(desk: Desk, model: Loopback) -> None:
    run = await holding(desk, model, "unread", HOLD)
    parked = await desk.say(run.conversation_id, {"text": "parked"}, mark="parked", on_busy="enqueue")
    for word in ("one", "two"):
        await desk.say(run.conversation_id, {"text": word}, mark=word, on_busy="steer")
    await desk.cancel(run.id)
    assert (await desk.answer(run)).run.status == "cancelled"
    assert (await desk.answer(parked)).run.status == "completed"
    first, second, third = await runs_of(desk, run.conversation_id)
    assert {first.id, second.id} == {run.id, parked.id}
    assert third.status == "completed"
    assert third.input["prompt"].index("MARK: one") < third.input["prompt"].index("MARK: two")
    assert third.completed_at is not None
    assert second.completed_at is not None
    assert third.completed_at < second.completed_at
    assert {message.next_run_id for message in await kept(desk, run)} == {third.id}
    assert not any(message.delivered_at for message in await kept(desk, run))


async def test_a_run_that_waits_for_people_reads_it_when_it_goes_on(desk: Desk) -> None:
    conversation_id = await desk.conversation(approval="ask")
    waiting = await desk.answer(await desk.say(conversation_id, {"tools": [POST]}, {"text": "sent"}))
    again = await desk.say(conversation_id, {"text": "thanks"}, mark="thanks", on_busy="steer")
    assert (again.id, again.status) == (waiting.run.id, "waiting")
    await desk.decide(waiting.approvals[0].id, "approve")
    turn = await desk.answer(again)
    assert turn.run.status == "completed"
    assert (await story(desk, conversation_id))[2:] == [
        ("tool-return", "http_post"), ("user", "go MARK: thanks"), ("assistant", "thanks")
    ]  # fmt: skip


async def test_an_idle_conversation_takes_it_as_an_ordinary_message(desk: Desk) -> None:
    run = await desk.say(await desk.conversation(), {"text": "hello"}, on_busy="steer")
    assert (await desk.answer(run)).run.status == "completed"
    assert await kept(desk, run) == []


@pytest.mark.parametrize("point", ["before it is read", "after it is read", "after it is stored"])
async def test_a_crash_around_its_delivery_loses_and_repeats_nothing(desk: Desk, model: Loopback, point: str) -> None:
    mark = point.replace(" ", "-")
    run = await holding(desk, model, mark, HOLD)
    then = {"text": "seen", "tools": [SUM]}
    if point == "after it is read":
        then = {**HOLD, **then}
    last = {**HOLD, "text": "done"} if point == "after it is stored" else {"text": "done"}
    await desk.say(run.conversation_id, then, last, mark=f"{mark}.steer", on_busy="steer")
    if point != "before it is read":
        model.release(mark)
        await asyncio.to_thread(model.wait, f"marker={mark}.steer&phase=holding")
    await die(desk, run)
    model.release(f"{mark}.steer")
    turn = await desk.answer(run)
    assert (turn.run.status, turn.run.attempt) == ("completed", 2), turn.run.status_detail
    before = [("assistant", "slow answer")] if point != "before it is read" else []
    assert await story(desk, run.conversation_id) == [
        ("user", f"go MARK: {mark}"), *before, ("user", f"go MARK: {mark}.steer"), ("assistant", "seen"),
        ("tool-call", "calculator"), ("tool-return", "calculator"), ("assistant", "done"),
    ]  # fmt: skip
    (message,) = await kept(desk, run)
    assert message.delivered_at is not None
    assert message.next_run_id is None
    assert turn.run.usage["requests"] == {"before it is read": 2}.get(point, 3)


async def die(desk: Desk, run: Run) -> None:
    """What a killed process leaves: nothing written any more, and a lease that runs out."""
    execution = desk.runtime.works.executor.execution(run.id)
    assert execution is not None
    assert execution.task is not None
    execution.stop = "lost"
    execution.task.cancel()
    await execution.ended.wait()
    async with desk.runtime.database.across() as unit:
        await unit.connection.execute(
            text("UPDATE runs SET lease_until = app_now() - interval '1 second' WHERE id = :id"), {"id": run.id}
        )
