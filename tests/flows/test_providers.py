"""Model providers over real HTTP, on the ledger: turns, tools, failures with their reasons, fallbacks, cost."""

import asyncio
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any

import pytest
from support.loopback import Loopback, bind

from app.models.run import Run
from app.services import conversations, task_views, tasks
from app.services.chat import Turn
from tests.flows.conftest import Desk, OpenDesk

PROVIDERS = ("openai:scripted", "anthropic:scripted")
PRICED = "openai:gpt-6.1-terra"
SUM = {"name": "calculator", "args": {"expression": "6*7"}}
CLOCK = {"name": "current_time", "args": {}}


def provider(open_desk: OpenDesk, model: Loopback, name: str, **more: str) -> AbstractAsyncContextManager[Desk]:
    """A desk whose default model is `name`, with keys for both protocols of the scripted server."""
    anthropic = {"ANTHROPIC_API_KEY": "test", "ANTHROPIC_BASE_URL": model.url}
    return open_desk(**{**anthropic, "DEFAULT_MODEL": name, **more})


async def turn(desk: Desk, *steps: dict[str, Any], mark: str = "", stream: bool = False) -> Turn:
    """One turn in a conversation of its own, which must be one that can go on."""
    run = await desk.say(await desk.conversation(), *steps, mark=mark, stream=stream)
    answered = await desk.answer(run)
    await desk.entries(run.conversation_id)
    return answered


def text(answered: Turn) -> str | None:
    assert answered.result is not None, answered.run.status_detail
    return answered.result.text


async def spoken(desk: Desk, run: Run) -> str:
    return "".join(event["text"] for event in await desk.events(run) if event["type"] == "message.delta")


@pytest.mark.parametrize("name", PROVIDERS)
async def test_turns_whole_and_streamed(open_desk: OpenDesk, model: Loopback, name: str) -> None:
    async with provider(open_desk, model, name) as desk:
        for stream in (False, True):
            one = await turn(desk, {"text": "A plain answer.", "chunks": 4}, stream=stream)
            assert (one.run.status, one.run.model, text(one)) == ("completed", name, "A plain answer.")
            assert await spoken(desk, one.run) == ("A plain answer." if stream else "")
            assert (one.run.usage["requests"], one.run.usage["cost_usd"]) == (1, None)
            assert one.run.usage["input_tokens"] > 0


@pytest.mark.parametrize("name", PROVIDERS)
async def test_tools_one_by_one_and_side_by_side(open_desk: OpenDesk, model: Loopback, name: str) -> None:
    steps = ({"tools": [SUM]}, {"text": "now both", "tools": [SUM, CLOCK, SUM]}, {"text": "It is 42."})
    async with provider(open_desk, model, name) as desk:
        for stream in (False, True):
            one = await turn(desk, *steps, stream=stream)
            assert (one.run.status, text(one)) == ("completed", "It is 42.")
            calls = await desk.journal(one.run.id)
            assert [(call.step, call.status) for call in calls] == [(1, "done"), (2, "done"), (2, "done"), (2, "done")]
            assert sorted(call.tool for call in calls if call.step == 2) == ["calculator", "calculator", "current_time"]
            told = await desk.events(one.run)
            begun = [event["tool_call_id"] for event in told if event["type"] == "tool.call"]
            ended = {event["tool_call_id"]: event for event in told if event["type"] == "tool.result"}
            assert len(begun) == len(set(begun)) == 4
            assert {event["status"] for event in ended.values()} == {"ok"}
            assert set(begun) == set(ended)
            assert (one.run.usage["requests"], one.run.usage["tool_calls"]) == (3, 4)


NO_QUOTA = {"code": "insufficient_quota", "type": "insufficient_quota"}
TOO_LONG = {"code": "context_length_exceeded", "message": "maximum context length is 8 tokens"}
PERMANENT = {
    "model_auth_failed": ({"status": 401}, "OPENAI_API_KEY"),
    "model_quota_exhausted": ({"status": 429, "error": NO_QUOTA}, "credit"),
    "model_not_found": ({"status": 404}, "DEFAULT_MODEL"),
    "model_request_rejected": ({"status": 400}, "rejected"),
    "content_filtered": ({"text": "", "finish": "content_filter"}, "word the request differently"),
    "context_too_long": ({"status": 400, "error": TOO_LONG}, "start a new one"),
}


async def test_what_cannot_pass_fails_at_once_and_says_what_to_do(desk: Desk, model: Loopback) -> None:
    async def one(code: str, stream: bool) -> None:
        fault, word = PERMANENT[code]
        failed = await turn(desk, fault, mark=f"{code}.{stream}", stream=stream)
        assert (failed.run.status, failed.run.status_reason, failed.run.attempt) == ("failed", code, 1)
        assert word in str(failed.run.status_detail)
        assert failed.result is not None
        assert failed.result.error == {"code": code, "detail": failed.run.status_detail}
        (last,) = [event for event in await desk.events(failed.run) if event["type"] == "run.failed"]
        assert (last["status_reason"], last["detail"]) == (code, failed.run.status_detail)

    async with asyncio.TaskGroup() as group:
        for code in PERMANENT:
            for stream in (False, True):
                group.create_task(one(code, stream))
    asked = [entry["marker"] for entry in model.log() if entry["marker"].partition(".")[0] in PERMANENT]
    assert len(asked) == len(set(asked)), "asked again in vain"


@pytest.mark.parametrize(
    ("variables", "variable"),
    [
        ({"DEFAULT_MODEL": "openai:gpt-6.1-terra", "OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}, "OPENAI_API_KEY"),
        ({"DEFAULT_MODEL": "anthropic:claude-haiku-5-5"}, "ANTHROPIC_API_KEY"),
        ({"DEFAULT_MODEL": "ollama:llama3.2"}, "OLLAMA_BASE_URL"),
    ],
)
async def test_a_model_without_its_key_fails_each_run(
    open_desk: OpenDesk, variables: dict[str, str], variable: str
) -> None:
    async with open_desk(**variables) as desk:
        for _ in range(2):
            failed = await turn(desk, {"text": "never said"})
            assert (failed.run.status, failed.run.status_reason) == ("failed", "model_not_configured")
            assert variable in str(failed.run.status_detail)
            assert (failed.run.model, text(failed)) == (variables["DEFAULT_MODEL"], None)


async def test_the_next_provider_answers_for_one_that_is_down(open_desk: OpenDesk, model: Loopback) -> None:
    with bind() as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    down = {"OPENAI_BASE_URL": nobody, "SIXLANE_FALLBACK_MODELS": "anthropic:second"}
    async with provider(open_desk, model, "openai:first", **down) as desk:
        for stream in (False, True):
            one = await turn(desk, {"tools": [SUM]}, {"text": "from the second"}, stream=stream)
            assert (one.run.status, one.run.attempt, text(one)) == ("completed", 1, "from the second")
            entries = await desk.entries(one.run.conversation_id)
            answers = [entry.message for entry in entries if entry.message["kind"] == "response"]
            assert [answer["model_name"] for answer in answers] == ["second", "second"]


async def test_the_demo_model_never_stands_in(open_desk: OpenDesk, model: Loopback) -> None:
    async with provider(open_desk, model, "openai:scripted", SIXLANE_FALLBACK_MODELS="demo") as desk:
        failed = await turn(desk, {"text": "never said"})
        assert (failed.run.status, failed.run.status_reason) == ("failed", "model_not_configured")
        assert "SIXLANE_FALLBACK_MODELS" in str(failed.run.status_detail)


async def test_cost_is_a_number_until_one_price_is_unknown(open_desk: OpenDesk, model: Loopback) -> None:
    async with provider(open_desk, model, PRICED) as desk:
        conversation_id = await desk.conversation()
        first = await desk.answer(await desk.say(conversation_id, {"tools": [SUM]}, {"text": "42"}))
        second = await desk.answer(await desk.say(conversation_id, {"text": "again"}, stream=True))
        costs = [Decimal(one.run.usage["cost_usd"]) for one in (first, second)]
        assert min(costs) > 0
        assert await conversation_cost(desk, second.run) == sum(costs)
    async with provider(open_desk, model, "openai:scripted") as desk:
        third = await desk.answer(await desk.say(conversation_id, {"text": "for nothing?"}))
        assert third.run.usage["cost_usd"] is None
        assert await conversation_cost(desk, third.run) is None


async def conversation_cost(desk: Desk, run: Run) -> Decimal | None:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        row = await conversations.get(unit, desk.owner, run.conversation_id)
        (shown,) = await conversations.show(unit, [row])
    assert shown.usage.requests > 0
    return shown.usage.cost_usd


async def task_cost(desk: Desk, run: Run) -> Decimal | None:
    assert run.task_id is not None
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        (shown,) = await task_views.show(unit, [await tasks.get(unit, desk.owner, run.task_id)], "http://localhost")
    return shown.usage.cost_usd


async def test_a_task_adds_up_its_runs(open_desk: OpenDesk, model: Loopback) -> None:
    async with provider(open_desk, model, "openai:scripted") as desk:
        priced = await desk.answer(await desk.delegate({"text": "done"}, model=PRICED))
        unpriced = await desk.answer(await desk.delegate({"text": "done"}))
        assert await task_cost(desk, priced.run) == Decimal(priced.run.usage["cost_usd"]) > 0
        assert await task_cost(desk, unpriced.run) is None
