"""Effects: journaled before and after, asked for where a person said so, never repeated blindly."""

import asyncio
from uuid import UUID

import pytest
from support.loopback import Loopback

from app.models.errors import Conflict
from tests.flows.conftest import Desk

POST = {"tools": [{"name": "http_post", "args": {"target": "hook", "data": {"n": 1}}}]}


def sent(far_end: Loopback, run_id: UUID) -> int:
    """How often the receiver took an effect of the run."""
    effects = far_end.get("/_effects")
    return sum(count for key, count in effects["by_key"].items() if str(run_id) in key)


async def test_an_allowed_effect_is_sent_once_and_journaled(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation()
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    assert turn.run.status == "completed"
    (call,) = await desk.journal(turn.run.id)
    assert (call.tool, call.effect, call.status) == ("http_post", True, "done")
    assert sent(far_end, turn.run.id) == 1


@pytest.mark.parametrize(("decision", "posts"), [("approve", 1), ("deny", 0)])
async def test_a_person_decides(desk: Desk, far_end: Loopback, decision: str, posts: int) -> None:
    conversation_id = await desk.conversation(approval="ask")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    (approval,) = turn.approvals
    assert (turn.run.status, approval.kind, approval.tool) == ("waiting", "tool_call", "http_post")
    assert sent(far_end, turn.run.id) == 0
    await desk.decide(approval.id, decision, note="because")
    after = await desk.answer(turn.run)
    assert (after.run.status, sent(far_end, turn.run.id)) == ("completed", posts)
    await desk.entries(conversation_id)


async def test_edited_arguments_are_the_ones_that_are_sent(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(approval="ask")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}, mark="edited"))
    await desk.decide(turn.approvals[0].id, "edit", arguments={"target": "hook", "data": {"marker": "edited-by-hand"}})
    after = await desk.answer(turn.run)
    assert after.run.status == "completed"
    (call,) = await desk.journal(turn.run.id)
    assert call.arguments["data"] == {"marker": "edited-by-hand"}
    assert sent(far_end, turn.run.id) == 1


async def test_twenty_decisions_at_once_make_one_effect(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(approval="ask")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    decided = await asyncio.gather(
        *(desk.decide(turn.approvals[0].id, "approve") for _ in range(20)), return_exceptions=True
    )
    assert sum(not isinstance(one, BaseException) for one in decided) == 1
    assert all(isinstance(one, Conflict) for one in decided if isinstance(one, BaseException))
    assert (await desk.answer(turn.run)).run.status == "completed"
    assert sent(far_end, turn.run.id) == 1


async def test_several_calls_wait_for_all_their_decisions(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(approval="ask")
    both = {"tools": [*POST["tools"], {"name": "calculator", "args": {"expression": "6*7"}}, *POST["tools"]]}
    turn = await desk.answer(await desk.say(conversation_id, both, {"text": "done"}))
    first, second = turn.approvals
    await desk.decide(first.id, "approve")
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        between = await unit.runs.get(turn.run.id)
    assert between is not None
    assert between.status == "waiting"
    await desk.decide(second.id, "deny")
    after = await desk.answer(turn.run)
    assert (after.run.status, sent(far_end, turn.run.id)) == ("completed", 1)
    assert [call.tool for call in await desk.journal(turn.run.id)].count("calculator") == 1
    await desk.entries(conversation_id)


@pytest.mark.parametrize(("decision", "posts"), [("happened", 1), ("repeat", 2), ("skip", 1)])
async def test_an_unknown_outcome_is_asked_about(desk: Desk, far_end: Loopback, decision: str, posts: int) -> None:
    conversation_id = await desk.conversation(query="cut=1")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    (approval,) = turn.approvals
    assert (turn.run.status, approval.kind) == ("waiting", "unknown_outcome")
    assert sent(far_end, turn.run.id) == 1
    await desk.decide(approval.id, decision)
    after = await desk.answer(turn.run)
    if decision == "repeat":  # the line is cut again, so the question comes again
        assert after.run.status == "waiting"
        await desk.decide(after.approvals[0].id, "happened")
        after = await desk.answer(turn.run)
    assert (after.run.status, sent(far_end, turn.run.id)) == ("completed", posts)
    await desk.entries(conversation_id)


async def test_an_effect_after_a_failed_turn_is_found_again_by_the_next_attempt(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation()
    failed = await desk.answer(await desk.say(conversation_id, {"text": "never", "status": 400}))
    assert failed.run.status == "failed"
    later = {"text": "done", "status": 500, "times": 1}
    turn = await desk.answer(await desk.say(conversation_id, POST, later, mark="after-failure"))
    assert (turn.run.status, turn.run.attempt) == ("completed", 2)
    assert [call.status for call in await desk.journal(turn.run.id)] == ["done"]
    assert sent(far_end, turn.run.id) == 1
    await desk.entries(conversation_id)
