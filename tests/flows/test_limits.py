"""Limits: each stops a run with its reason and what there is so far, and the conversation goes on."""

import time
from typing import Any
from uuid import UUID

import pytest
from support.loopback import Loopback

from app.agents.registry import AgentRegistry
from app.models.errors import InvalidInput
from app.models.run import Limits, Run
from app.services.chat import Turn
from tests.flows.conftest import Desk

PRICED = "openai:gpt-6.1-terra"
SUM = {"name": "calculator", "args": {"expression": "6*7"}}
LOOP = {"text": "so far", "loop_tool": SUM}
HOLD = {"text": "never said", "hold_s": 20}

STOPPED: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "steps": ([LOOP], {"limits": {"steps": 3}}),
    "tool_calls": ([LOOP], {"limits": {"tool_calls": 2}}),
    "tokens": ([LOOP], {"limits": {"tokens": 3000}}),
    "cost_usd": ([LOOP], {"limits": {"cost_usd": 0.005}, "model": PRICED}),
    "seconds": ([{"text": "so far", "tools": [SUM]}, HOLD], {"limits": {"seconds": 0.7}}),
}


async def limited(desk: Desk, conversation_id: UUID, limits: dict[str, Any], *steps: dict[str, Any], **how: Any) -> Run:
    """A turn whose agent has these limits."""
    assistant = desk.runtime.registry.get("assistant").model_copy(update={"limits": Limits.model_validate(limits)})
    return await desk.say(conversation_id, *steps, registry=AgentRegistry([assistant]), **how)


async def stopped(desk: Desk, which: str, run: Run) -> Turn:
    """The run, ended by that limit, in a conversation that has answered another message since."""
    turn = await desk.answer(run)
    assert (turn.run.status, turn.run.status_reason) == ("failed", f"limit_{which}"), turn.run.status_detail
    assert turn.result is not None
    assert turn.result.error == {"code": f"limit_{which}", "detail": turn.run.status_detail}
    assert all(call.status == "done" for call in await desk.journal(run.id))
    last = (await desk.events(run))[-1]
    assert (last["type"], last["status_reason"]) == ("run.failed", f"limit_{which}")
    assert last["result"]["text"] == turn.result.text
    await desk.entries(run.conversation_id)
    after = await desk.answer(await desk.say(run.conversation_id, {"text": "and on it goes"}))
    assert after.run.status == "completed", after.run.status_detail
    await desk.entries(run.conversation_id)
    return turn


@pytest.mark.parametrize("which", STOPPED)
async def test_a_limit_stops_the_run_with_what_there_is(desk: Desk, which: str) -> None:
    steps, order = STOPPED[which]
    began = time.monotonic()
    turn = await stopped(desk, which, await desk.delegate(*steps, **order))
    assert turn.result is not None
    assert turn.result.text == "so far"
    used, limits = turn.run.usage, Limits.model_validate(order["limits"])
    assert used["requests"] == (limits.steps or used["requests"])
    assert used["tool_calls"] == (limits.tool_calls or used["tool_calls"])
    assert used["total_tokens"] > (limits.tokens or 0)
    assert used["seconds"] <= time.monotonic() - began


async def test_calls_side_by_side_are_counted_before_the_first_of_them(desk: Desk) -> None:
    run = await desk.delegate({"text": "so far", "tools": [SUM, SUM, SUM]}, limits={"tool_calls": 2})
    turn = await stopped(desk, "tool_calls", run)
    assert turn.run.usage["tool_calls"] == 0
    assert await desk.journal(run.id) == []


async def test_a_streamed_turn_keeps_what_was_said_when_time_is_up(desk: Desk, model: Loopback) -> None:
    conversation_id = await desk.conversation()
    cut = {"text": "half a sentence", "chunks": 2, "hold_s": 20, "hold_after": 1}
    run = await limited(desk, conversation_id, {"seconds": 0.7}, cut, stream=True)
    turn = await stopped(desk, "seconds", run)
    assert turn.result is not None
    assert turn.result.text == "half a s"


async def test_time_runs_out_inside_an_effect(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(query="hold_s=20")
    call = {"name": "http_post", "args": {"target": "hook", "data": {"n": 1}}}
    run = await limited(desk, conversation_id, {"seconds": 0.7}, {"text": "so far", "tools": [SUM, call]})
    turn = await desk.answer(run)
    assert (turn.run.status, turn.run.status_reason) == ("failed", "limit_seconds")
    assert {call.tool: call.status for call in await desk.journal(run.id)} == {
        "calculator": "done",
        "http_post": "unknown",
    }
    entries = await desk.entries(conversation_id)
    assert "outcome was known" in entries[-1].message["parts"][-1]["content"]


async def test_what_failed_attempts_used_counts(desk: Desk) -> None:
    again = {"status": 429, "times": 1, "text": "so far", "tools": [SUM]}
    run = await desk.delegate({"tools": [SUM]}, again, LOOP, mark="limits-again", limits={"steps": 3})
    turn = await stopped(desk, "steps", run)
    assert (turn.run.attempt, turn.run.usage["requests"], turn.run.usage["tool_calls"]) == (2, 3, 3)


async def test_a_budget_on_a_model_without_a_price_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidInput) as refused:
        await desk.delegate({"text": "never said"}, limits={"cost_usd": 1})
    assert (refused.value.status, refused.value.code) == (422, "unpriced_model")
    assert "price" in refused.value.detail
