"""Cancelling at any point: the run stops soon, nothing starts after it, and the conversation goes on."""

import asyncio
import time

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.loopback import Loopback

from app.models.events import TERMINAL_EVENTS
from app.models.run import Run
from app.services.events import follow
from tests.flows.conftest import Desk

POST = {"name": "http_post", "args": {"target": "hook", "data": {"n": 1}}}
SUM = {"name": "calculator", "args": {"expression": "6*7"}}
STEPS = (
    {"text": "first", "tools": [SUM, POST], "chunks": 3},
    {"text": "second", "tools": [POST, SUM], "chunks": 3},
    {"text": "the end of it", "chunks": 6, "delay_ms": 2},
)
LONGEST = 26
"""More events than such a run has; a later point cancels a run that has ended."""


def effects(far_end: Loopback, run: Run) -> int:
    found = far_end.get("/_effects")["by_key"]
    return sum(count for key, count in found.items() if str(run.id) in key)


async def cancel_at(desk: Desk, run: Run, point: int) -> None:
    """Ask the run to stop when its event of that number is out."""
    runtime = desk.runtime
    async for frames in follow(runtime.database, runtime.hub, run.workspace_id, run.id):
        if any(frame.seq >= point or frame.type in TERMINAL_EVENTS for frame in frames):
            await desk.cancel(run.id)
            return


@settings(
    max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(point=st.integers(min_value=0, max_value=LONGEST), stream=st.booleans())
async def test_every_point_leaves_a_conversation_that_goes_on(
    desk: Desk, far_end: Loopback, point: int, stream: bool
) -> None:
    conversation_id = await desk.conversation()
    run = await desk.say(conversation_id, *STEPS, stream=stream)
    await cancel_at(desk, run, point)
    turn = await desk.answer(run)
    assert turn.run.status in ("cancelled", "completed")
    sent = effects(far_end, run)
    assert all(call.status != "started" for call in await desk.journal(run.id))
    await desk.entries(conversation_id)
    following = await desk.answer(await desk.say(conversation_id, {"text": "still here"}))
    assert following.run.status == "completed", following.run.status_detail
    assert effects(far_end, run) == sent
    entries = await desk.entries(conversation_id)
    assert entries[-1].message["parts"][-1]["content"] == "still here"


async def test_a_stream_stops_within_a_second(desk: Desk, model: Loopback) -> None:
    conversation_id = await desk.conversation()
    run = await desk.say(
        conversation_id, {"text": "long", "hold_s": 30, "hold_after": 1}, mark="stop-stream", stream=True
    )
    await asyncio.to_thread(model.wait, "marker=stop-stream&phase=holding")
    asked = time.monotonic()
    assert (await desk.cancel(run.id)).status == "running"
    turn = await desk.answer(run)
    assert (turn.run.status, turn.run.status_reason) == ("cancelled", "cancelled_by_request")
    assert time.monotonic() - asked < 1.0
    assert turn.result is not None
    assert turn.result.error == {"code": "cancelled_by_request", "detail": turn.run.status_detail}


async def test_an_effect_in_flight_is_journaled_as_unknown(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(query="hold_s=30")
    run = await desk.say(conversation_id, {"tools": [POST]}, {"text": "done"}, mark="in-flight")
    await asyncio.to_thread(far_end.wait, "phase=holding&count=1")
    await desk.cancel(run.id)
    turn = await desk.answer(run)
    assert turn.run.status == "cancelled"
    assert [call.status for call in await desk.journal(run.id)] == ["unknown"]
    entries = await desk.entries(conversation_id)
    assert "outcome was known" in entries[-1].message["parts"][0]["content"]


async def test_queued_and_waiting_runs_are_cancelled_at_once(desk: Desk) -> None:
    conversation_id = await desk.conversation(approval="ask")
    waiting = await desk.answer(await desk.say(conversation_id, {"tools": [POST]}, {"text": "done"}))
    parked = await desk.say(conversation_id, {"text": "later"}, on_busy="enqueue")
    assert (await desk.cancel(parked.id)).status == "cancelled"
    assert (await desk.cancel(waiting.run.id)).status == "cancelled"
    assert (await desk.cancel(waiting.run.id)).status == "cancelled"
    await desk.entries(conversation_id)
    after = await desk.answer(await desk.say(conversation_id, {"text": "next"}))
    assert after.run.status == "completed"


async def test_a_failed_run_is_retried_from_where_it_stopped(desk: Desk, model: Loopback) -> None:
    conversation_id = await desk.conversation()
    script = ({"tools": [SUM]}, {"status": 400, "times": 1, "text": "recovered"})
    failed = await desk.answer(await desk.say(conversation_id, *script, mark="again"))
    assert (failed.run.status, failed.run.status_reason) == ("failed", "model_request_rejected")
    again = await desk.answer(await desk.retry(failed.run.id))
    assert (again.run.status, again.run.parent_run_id) == ("completed", failed.run.id)
    assert [entry["step"] for entry in model.log() if entry["marker"] == "again"] == [0, 1, 1]
    await desk.entries(conversation_id)
