"""Runs that stand behind one another: whatever is interrupted, one at most may be claimed, and none is forgotten."""

import asyncio
from uuid import UUID

from support.loopback import Loopback

from app.database.stores.queue import LaneRoom
from app.models.run import Run
from tests.flows.conftest import Desk

HOLD = {"text": "slow answer", "chunks": 4, "hold_s": 20, "hold_after": 1}
ROOM = {"interactive": LaneRoom(slots=10, per_user=0, per_agent=0, per_workspace=0)}


async def claim(desk: Desk) -> list[Run]:
    """What a worker would find now; it is begun here."""
    executor = desk.runtime.works.executor
    async with desk.runtime.database.across() as unit:
        claimed = await unit.queue.claim(executor.options.owner, executor.options.lease, 16, ROOM)
    for run in claimed:
        executor.start(run, since=executor.clock())
    return claimed


async def active(desk: Desk, conversation_id: UUID) -> list[UUID]:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        return [run.id for run in await unit.runs.active_of(conversation_id)]


async def test_interrupts_before_the_next_claim(desk: Desk, model: Loopback) -> None:
    desk.runtime.works.pool.close()  # nothing is claimed but by this test
    conversation_id = await desk.conversation()
    first = await desk.say(conversation_id, HOLD, mark="parked", stream=True)
    await asyncio.to_thread(model.wait, "marker=parked&phase=holding")
    second = await desk.say(conversation_id, {"text": "second"}, on_busy="enqueue")
    third = await desk.say(conversation_id, {"text": "third"}, on_busy="enqueue")
    model.release("parked")
    await desk.answer(first)
    assert await active(desk, conversation_id) == [second.id, third.id]

    urgent = await desk.say(conversation_id, {"text": "urgent"}, on_busy="interrupt")
    assert await active(desk, conversation_id) == [urgent.id, third.id]
    more_urgent = await desk.say(conversation_id, {"text": "more urgent"}, on_busy="interrupt")
    last = await desk.say(conversation_id, {"text": "last"}, on_busy="enqueue")
    assert await active(desk, conversation_id) == [more_urgent.id, third.id, last.id]

    for expected in (more_urgent, third, last):
        (claimed,) = await claim(desk)
        assert claimed.id == expected.id
        assert (await desk.answer(claimed)).run.status == "completed"
    assert await claim(desk) == []
    for superseded in (second, urgent):
        turn = await desk.answer(superseded)
        assert (turn.run.status, turn.run.status_reason) == ("cancelled", "superseded")
    entries = await desk.entries(conversation_id)
    answers = [entry.message["parts"][0]["content"] for entry in entries if entry.message["kind"] == "response"]
    assert answers == ["slow answer", "more urgent", "third", "last"]
