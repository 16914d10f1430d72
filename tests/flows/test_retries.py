"""Trying again: what may pass is tried again and seen to be, what a model gets wrong is told to it, and both end."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from support.loopback import Loopback

from app.models.errors import Conflict
from app.models.run import Run
from app.services.chat import Turn
from tests.flows.conftest import Desk

SUM = {"name": "calculator", "args": {"expression": "6*7"}}
POST = {"name": "http_post", "args": {"target": "hook", "data": {"n": 1}}}
NO_JSON = {"bad_args": {"name": "calculator", "raw": '{"expression'}}
WRONG = {"bad_args": {"name": "calculator", "raw": '{"sum": "6*7"}'}}
ANSWER = "one two three four five six"


def asked(model: Loopback, mark: str) -> list[dict[str, Any]]:
    return [entry for entry in model.log() if entry["marker"] == mark]


def told(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == kind]


async def finish(desk: Desk, *steps: dict[str, Any], mark: str, stream: bool = False) -> Turn:
    """A turn in a conversation of its own, and then another one: whatever happened, the thread goes on."""
    run = await desk.say(await desk.conversation(), *steps, mark=mark, stream=stream)
    turn = await desk.answer(run)
    await desk.entries(run.conversation_id)
    after = await desk.answer(await desk.say(run.conversation_id, {"text": "and on it goes"}))
    assert after.run.status == "completed", after.run.status_detail
    await desk.entries(run.conversation_id)
    return turn


async def retrying(desk: Desk, run: Run) -> Run:
    """The run, once it waits to be tried again."""
    async with asyncio.timeout(10):
        while True:
            async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
                now = await unit.runs.get(run.id)
            assert now is not None
            if now.status == "queued" and now.attempt > 0:
                return now
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_asks_for_patience_gets_it(desk: Desk, model: Loopback, stream: bool) -> None:
    mark = f"patience.{stream}"
    limited = {"status": 429, "retry_after": 1, "times": 1, "text": "at last"}
    run = await desk.say(await desk.conversation(), limited, mark=mark, stream=stream)
    waiting = await retrying(desk, run)
    assert waiting.waiting_on is not None
    (what,) = waiting.waiting_on
    assert (what["type"], datetime.fromisoformat(what["until"])) == ("retry", waiting.available_at)
    with pytest.raises(Conflict) as refused:
        await desk.say(run.conversation_id, {"text": "impatient"})
    assert refused.value.extra["active_run_id"] == str(run.id)
    turn = await desk.answer(run)
    assert turn.result is not None
    assert (turn.run.status, turn.run.attempt, turn.result.text) == ("completed", 2, "at last")
    assert (turn.run.status_reason, turn.run.waiting_on) == (None, None)
    events = await desk.events(run)
    (again,) = told(events, "run.retrying")
    assert (again["reason"], again["attempt"]) == ("model_rate_limited", 1)
    assert [event["attempt"] for event in told(events, "run.started")] == [1, 2]
    first, second = asked(model, mark)
    assert second["started"] - first["finished"] >= 1.0


async def test_what_was_done_is_not_done_again(desk: Desk, model: Loopback, far_end: Loopback) -> None:
    broken = {"status": 500, "times": 1, "text": "first", "tools": [SUM]}
    broken_again = {"status": 503, "times": 1, "text": ANSWER}
    run = await desk.say(await desk.conversation(), {"tools": [SUM, POST]}, broken, broken_again, mark="once")
    turn = await desk.answer(run)
    assert turn.result is not None
    assert (turn.run.status, turn.run.attempt, turn.result.text) == ("completed", 3, ANSWER)
    assert [entry["step"] for entry in asked(model, "once")] == [0, 1, 1, 2, 2]
    assert [call.tool for call in await desk.journal(run.id)].count("http_post") == 1
    effects = far_end.get("/_effects")["by_key"]
    assert sum(count for key, count in effects.items() if str(run.id) in key) == 1
    assert (turn.run.usage["requests"], turn.run.usage["tool_calls"]) == (3, 3)
    assert [event["reason"] for event in told(await desk.events(run), "run.retrying")] == [
        "model_server_error",
        "model_unavailable",
    ]


async def test_a_cut_stream_is_void_and_said_again(desk: Desk) -> None:
    cut = {"text": ANSWER, "chunks": 6, "cut_after_chunks": 3, "times": 1}
    turn = await finish(desk, cut, mark="cut", stream=True)
    assert turn.result is not None
    assert (turn.run.status, turn.run.attempt, turn.result.text) == ("completed", 2, ANSWER)
    events = await desk.events(turn.run)
    spoken = {1: "", 2: ""}
    for event in told(events, "message.delta"):
        spoken[event["attempt"]] += event["text"]
    assert spoken[2] == ANSWER
    assert spoken[1] != ANSWER
    assert ANSWER.startswith(spoken[1])
    (again,) = told(events, "run.retrying")
    assert max(event["seq"] for event in events if event["attempt"] == 1) == again["seq"]
    entries = await desk.entries(turn.run.conversation_id)
    assert [entry.message["parts"][0]["content"] for entry in entries if entry.message["kind"] == "response"] == [
        ANSWER,
        "and on it goes",
    ]


async def test_patience_ends(desk: Desk, model: Loopback) -> None:
    """Side by side, because each of them waits for seconds."""
    faults = {
        "model_server_error": {"status": 500},
        "model_rate_limited": {"status": 429},
        "model_unreachable": {"text": ANSWER, "chunks": 3, "cut_after_chunks": 1},
    }

    async def exhaust(code: str, stream: bool) -> None:
        mark = f"exhausted.{code}.{stream}"
        turn = await finish(desk, {"text": "so far", "tools": [SUM]}, faults[code], mark=mark, stream=stream)
        assert (turn.run.status, turn.run.status_reason, turn.run.attempt) == ("failed", code, turn.run.max_attempts)
        assert "tried 4 times" in str(turn.run.status_detail)
        assert turn.result is not None
        begun = stream and code == "model_unreachable"
        assert turn.result.text == ("one two t" if begun else "so far")
        assert [entry["step"] for entry in asked(model, mark)] == [0, 1, 1, 1, 1]
        events = await desk.events(turn.run)
        assert len(told(events, "run.retrying")) == 3
        assert events[-1]["type"] == "run.failed"

    async with asyncio.TaskGroup() as group:
        for code in faults:
            for stream in (False, True):
                group.create_task(exhaust(code, stream))


async def test_a_run_that_waits_to_be_tried_again_can_be_cancelled(desk: Desk, model: Loopback) -> None:
    limited = {"status": 429, "retry_after": 30, "text": "never said"}
    run = await desk.say(await desk.conversation(), {"tools": [SUM]}, limited, mark="called-off")
    await retrying(desk, run)
    assert (await desk.cancel(run.id)).status == "cancelled"
    assert (await desk.answer(run)).run.status_reason == "cancelled_by_request"
    after = await desk.answer(await desk.say(run.conversation_id, {"text": "next"}))
    assert after.run.status == "completed"
    await desk.entries(run.conversation_id)
    assert len(asked(model, "called-off")) == 2


@pytest.mark.parametrize("fault", [{"status": 401}, {"text": "", "finish": "content_filter"}, WRONG])
async def test_nothing_that_was_said_gets_lost_after_failures(desk: Desk, fault: dict[str, Any]) -> None:
    conversation_id = await desk.conversation()
    turns = [[fault] * 4, [fault] * 4, *[[{"tools": [SUM]}, {"text": f"answer {number}"}] for number in range(3)]]
    for number, steps in enumerate(turns):
        turn = await desk.answer(await desk.say(conversation_id, *steps, mark=f"kept.{number}"))
        assert turn.run.status == ("failed" if number < 2 else "completed"), turn.run.status_detail
    entries = await desk.entries(conversation_id)
    parts = [part for entry in entries for part in entry.message["parts"]]
    said = [part["content"].split("MARK: ")[1][:6] for part in parts if part["part_kind"] == "user-prompt"]
    assert said == [f"kept.{number}" for number in range(len(turns))]
    assert [part["content"] for part in parts if part["part_kind"] == "text" and part["content"]] == [
        "answer 0",
        "answer 1",
        "answer 2",
    ]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("bad", [NO_JSON, WRONG, {"tools": [{"name": "no_such_tool", "args": {}}]}])
async def test_wrong_arguments_are_told_to_the_model(desk: Desk, bad: dict[str, Any], stream: bool) -> None:
    turn = await finish(desk, bad, {"tools": [SUM]}, {"text": "42"}, mark="wrong", stream=stream)
    assert turn.result is not None
    assert (turn.run.status, turn.run.attempt, turn.result.text) == ("completed", 1, "42")
    entries = await desk.entries(turn.run.conversation_id)
    (answer,) = entries[2].message["parts"]
    assert (answer["part_kind"], answer["outcome"]) == ("tool-return", "retried")
    assert [call.status for call in await desk.journal(turn.run.id)] == ["done"]


@pytest.mark.parametrize("bad", [NO_JSON, WRONG])
async def test_a_model_that_does_not_learn_fails_the_run(desk: Desk, bad: dict[str, Any]) -> None:
    turn = await finish(desk, *[bad] * 6, mark="obstinate")
    assert (turn.run.status, turn.run.status_reason, turn.run.attempt) == ("failed", "model_misbehaved", 1)
    assert "calculator" in str(turn.run.status_detail)
    assert turn.run.usage["requests"] == 3


async def test_silence_is_no_answer(desk: Desk) -> None:
    turn = await finish(desk, *[{"text": ""}] * 6, mark="silent")
    assert (turn.run.status, turn.run.status_reason) == ("failed", "model_misbehaved")


async def test_an_endless_loop_of_tools_ends_with_what_was_said(desk: Desk) -> None:
    turn = await finish(desk, {"text": "once more", "loop_tool": SUM}, mark="loop", stream=True)
    assert turn.result is not None
    assert (turn.run.status, turn.run.status_reason) == ("failed", "limit_steps")
    assert (turn.run.usage["requests"], turn.result.text) == (25, "once more")
