"""Agents of the workspace at work: stricter policies, what a turn says otherwise, and work that is handed on."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from support.loopback import Loopback
from support.model_server import script

from app.models.agent import AgentCreate, Overrides
from app.models.errors import InvalidInput
from app.models.ids import new_id
from app.models.run import Run
from app.services import agents, chat, orders
from app.services.chat import Say
from app.services.definitions import definition_of
from app.services.tuning import settings_of
from tests.flows.conftest import Desk

POST = {"tools": [{"name": "http_post", "args": {"target": "hook", "data": {"n": 1}}}]}
DONE = {"text": "done"}


def hand_on(*steps: dict[str, Any], agent: str = "helper", mark: str = "") -> dict[str, Any]:
    """A call of `delegate` whose agent goes through these steps."""
    return {"name": "delegate", "args": {"agent": agent, "task": script(*steps, mark=mark)}}


async def define(desk: Desk, **fields: Any) -> None:
    runtime = desk.runtime
    place = orders.Desk(runtime.registry, runtime.models, runtime.guard, runtime.vault)
    async with runtime.database.begin(desk.owner.workspace_id) as unit:
        await agents.create(unit, desk.owner, AgentCreate.model_validate(fields), desk=place, once=None)


async def team(desk: Desk, **fields: Any) -> None:
    """An agent `lead` that may hand work to `helper`, which may post and hand work back."""
    await define(desk, name="helper", tools=["http_post", "calculator", "remember"], sub_agents=["helper"])
    await define(desk, name="lead", tools=["calculator"], sub_agents=["helper"], **fields)


async def begin(desk: Desk, *steps: dict[str, Any], agent: str = "lead", approval: str = "allow", **more: Any) -> Run:
    target = {"name": "hook", "url": f"{desk.far_end.url}/hook", "approval": approval}
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        values = {"id": new_id(), "user_id": desk.owner.user_id, "pattern": "chatbot", "agent": agent}
        row = await unit.conversations.add({**values, "targets": [target]})
    wanted = Say(script(*steps, say="go"), **more)
    return (await chat.say(desk.runtime.works.chat, desk.owner, row.id, wanted, None)).run


async def children(desk: Desk, run: Run) -> list[Run]:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        found = [one for one in await unit.runs.page(limit=50) if one.parent_run_id == run.id]
    return sorted(found, key=lambda one: one.id)


async def child_that(desk: Desk, run: Run, status: str) -> Run:
    """The run's one child, once it has come to this status."""
    async with asyncio.timeout(10):
        while True:
            found = [one for one in await children(desk, run) if one.status == status]
            if found:
                return found[0]
            await asyncio.sleep(0.05)


def sent(far_end: Loopback, run_id: UUID) -> int:
    effects = far_end.get("/_effects")
    return sum(count for key, count in effects["by_key"].items() if str(run_id) in key)


async def test_policies_of_an_agent_tighten_and_never_loosen(desk: Desk, far_end: Loopback) -> None:
    await define(desk, name="careful", tools=["http_post", "calculator"], policies={"http_post": "ask"})
    turn = await desk.answer(await begin(desk, POST, DONE, agent="careful"))
    assert "definition wants a person to be asked" in (turn.approvals[0].reason or "")
    await desk.decide(turn.approvals[0].id, "approve")
    after = await desk.answer(turn.run)
    assert (after.run.status, sent(far_end, turn.run.id)) == ("completed", 1)

    await define(desk, name="timid", tools=["http_post"], policies={"http_post": "deny"})
    turn = await desk.answer(await begin(desk, POST, DONE, agent="timid"))
    assert (turn.run.status, sent(far_end, turn.run.id)) == ("completed", 0)

    await define(desk, name="bold", tools=["http_post"], policies={"http_post": "allow"})
    turn = await desk.answer(await begin(desk, POST, DONE, agent="bold", approval="ask"))
    assert (turn.run.status, len(turn.approvals)) == ("waiting", 1)


async def test_what_a_turn_says_otherwise(desk: Desk) -> None:
    await define(desk, name="warm", model_settings={"temperature": 0.5, "top_p": 0.9}, overrides=["temperature"])
    said = Overrides(temperature=0.1)
    turn = await desk.answer(await begin(desk, DONE, agent="warm", overrides=said))
    assert turn.run.status == "completed"
    definition = await definition_of(desk.runtime.database, desk.runtime.registry, turn.run)
    assert settings_of(definition, turn.run) == {"temperature": 0.1, "top_p": 0.9}
    with pytest.raises(InvalidInput, match="max_tokens: the agent warm does not") as refused:
        await begin(desk, DONE, agent="warm", overrides=Overrides(max_tokens=5))
    assert refused.value.code == "override_not_allowed"
    with pytest.raises(InvalidInput, match="names no model"):
        await begin(desk, DONE, agent="assistant", overrides=Overrides(model="nobody"))
    other = await desk.answer(await begin(desk, DONE, agent="assistant", overrides=Overrides(model="openai:other")))
    assert (other.run.status, other.run.model) == ("completed", "openai:other")


async def test_work_is_handed_to_two_agents_at_once_and_comes_back(desk: Desk) -> None:
    await team(desk, limits={"steps": 11, "tokens": 100_000})
    both = {"tools": [hand_on({"text": "one"}), hand_on({"text": "two"})]}
    turn = await desk.answer(await begin(desk, both, DONE))
    assert turn.run.status == "completed"
    begun = await children(desk, turn.run)
    assert [one.status for one in begun] == ["completed", "completed"]
    assert {one.agent for one in begun} == {"helper"}
    assert begun[0].root_run_id == turn.run.id
    assert begun[0].limits["steps"] == 4  # (11 - the step that asked - one for the end) // 2
    journal = await desk.journal(turn.run.id)
    assert sorted((call.tool, call.result) for call in journal) == [("delegate", "one"), ("delegate", "two")]
    await desk.entries(turn.run.conversation_id)


async def test_what_is_handed_on_counts_against_the_same_limits(desk: Desk) -> None:
    await team(desk, limits={"steps": 5})
    busy = hand_on(*({"tools": [{"name": "calculator", "args": {"expression": "1+1"}}]} for _ in range(9)))
    turn = await desk.answer(await begin(desk, {"tools": [busy]}, {"tools": [busy]}, DONE))
    assert (turn.run.status, turn.run.status_reason) == ("failed", "limit_steps")
    (child,) = await children(desk, turn.run)
    assert (child.status_reason, child.usage["requests"]) == ("limit_steps", 3)


async def test_work_is_handed_on_three_deep_at_most(desk: Desk) -> None:
    await team(desk)
    deepest = hand_on({"tools": [hand_on({"text": "too deep"})]}, {"text": "stopped"})
    turn = await desk.answer(await begin(desk, {"tools": [hand_on({"tools": [deepest]}, DONE)]}, DONE))
    assert turn.run.status == "completed"
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        depths = sorted(one.input.get("depth", 0) for one in await unit.runs.page(limit=50))
    assert depths == [0, 1, 2, 3]


async def test_an_approval_below_holds_everything_above_and_a_cancel_goes_down(desk: Desk, far_end: Loopback) -> None:
    await team(desk)
    run = await begin(desk, {"tools": [hand_on(POST, DONE)]}, DONE, approval="ask")
    child = await child_that(desk, run, "waiting")
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        (approval,) = await unit.approvals.of_run(child.id, status="pending")
        above = await unit.runs.get(run.id)
    assert above is not None
    assert (above.status, above.waiting_on and above.waiting_on[0]["type"]) == ("waiting", "run")
    await desk.decide(approval.id, "approve")
    after = await desk.answer(run)
    assert (after.run.status, sent(far_end, child.id)) == ("completed", 1)

    run = await begin(desk, {"tools": [hand_on(POST, DONE)]}, DONE, approval="ask")
    child = await child_that(desk, run, "waiting")
    await desk.cancel(run.id)
    await child_that(desk, run, "cancelled")
    assert sent(far_end, child.id) == 0


async def test_taint_goes_down_and_up_and_a_models_words_are_nobodys_wish(desk: Desk, far_end: Loopback) -> None:
    await team(desk)
    page = f"{far_end.url}/page"
    await define(desk, name="reader", tools=["web_page"])
    await define(desk, name="chief", tools=[], sub_agents=["reader"])
    read = hand_on({"tools": [{"name": "web_page", "args": {"url": page}}]}, {"text": "read"}, agent="reader")
    turn = await desk.answer(await begin(desk, {"tools": [read]}, DONE, agent="chief"))
    assert turn.run.status == "completed"
    assert turn.run.taint == ["web_page"]
    (child,) = await children(desk, turn.run)
    assert child.input["words"] == turn.run.input["prompt"]
    assert child.input["began_by"] == "message"
