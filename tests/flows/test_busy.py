"""A second message while a run is active: refused, parked or taking over."""

from uuid import UUID

import pytest
from support.loopback import Loopback

from app.models.errors import Conflict
from app.models.run import Run
from tests.flows.conftest import Desk

HOLD = {"text": "slow answer", "chunks": 4, "hold_s": 20, "hold_after": 1}


async def held(desk: Desk, model: Loopback, conversation_id: UUID, mark: str) -> Run:
    run = await desk.say(conversation_id, HOLD, mark=mark, stream=True)
    await wait(model, f"marker={mark}&phase=holding")
    return run


async def wait(server: Loopback, query: str) -> None:
    import asyncio

    await asyncio.to_thread(server.wait, query)


async def test_reject_names_the_active_run(desk: Desk, model: Loopback) -> None:
    conversation_id = await desk.conversation()
    run = await held(desk, model, conversation_id, "reject")
    with pytest.raises(Conflict) as refused:
        await desk.say(conversation_id, {"text": "second"})
    assert (refused.value.code, refused.value.extra["active_run_id"]) == ("conversation_busy", str(run.id))
    model.release("reject")
    assert (await desk.answer(run)).run.status == "completed"


async def test_enqueue_waits_its_turn(desk: Desk, model: Loopback) -> None:
    conversation_id = await desk.conversation()
    first = await held(desk, model, conversation_id, "enqueue")
    second = await desk.say(conversation_id, {"text": "second"}, on_busy="enqueue")
    third = await desk.say(conversation_id, {"text": "third"}, on_busy="enqueue")
    assert second.waiting_on == [{"type": "conversation", "run_id": str(first.id)}]
    model.release("enqueue")
    turns = [await desk.answer(run) for run in (first, second, third)]
    assert [turn.run.status for turn in turns] == ["completed"] * 3
    ended = [turn.run.completed_at for turn in turns]
    assert ended == sorted(ended)  # type: ignore[type-var]
    assert [entry.message["kind"] for entry in await desk.entries(conversation_id)] == ["request", "response"] * 3


async def test_interrupt_cancels_the_running_one_and_goes_next(desk: Desk, model: Loopback) -> None:
    conversation_id = await desk.conversation()
    first = await held(desk, model, conversation_id, "interrupt")
    parked = await desk.say(conversation_id, {"text": "parked"}, on_busy="enqueue")
    urgent = await desk.say(conversation_id, {"text": "urgent"}, on_busy="interrupt")
    turns = [await desk.answer(run) for run in (first, urgent, parked)]
    assert [turn.run.status for turn in turns] == ["cancelled", "completed", "completed"]
    assert turns[0].run.status_reason == "superseded"
    ended = [turn.run.completed_at for turn in turns]
    assert ended == sorted(ended)  # type: ignore[type-var]
    await desk.entries(conversation_id)


async def test_interrupt_of_a_waiting_run_voids_its_approval(desk: Desk) -> None:
    conversation_id = await desk.conversation(approval="ask")
    call = {"tools": [{"name": "http_post", "args": {"target": "hook", "data": {"n": 1}}}]}
    waiting = await desk.answer(await desk.say(conversation_id, call, {"text": "sent"}))
    assert waiting.run.status == "waiting"
    with pytest.raises(Conflict) as refused:
        await desk.say(conversation_id, {"text": "second"})
    assert refused.value.code == "conversation_waiting"
    assert refused.value.extra["approval_ids"] == [str(approval.id) for approval in waiting.approvals]
    after = await desk.answer(await desk.say(conversation_id, {"text": "instead"}, on_busy="interrupt"))
    assert after.run.status == "completed"
    with pytest.raises(Conflict):
        await desk.decide(waiting.approvals[0].id, "approve")
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        old = await unit.runs.get(waiting.run.id)
        approval = await unit.approvals.get(waiting.approvals[0].id)
    assert old is not None
    assert approval is not None
    assert (old.status, old.status_reason, approval.status) == ("cancelled", "superseded", "superseded")
    await desk.entries(conversation_id)
