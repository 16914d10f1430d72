"""Sidekick: the application's state goes along, changes go back by agreement, and the client's tools are called."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from support.loopback import Loopback

from app.models.context import ContextChange
from app.models.conversation import Conversation
from app.models.ids import new_id
from app.models.run import Run
from app.services import contexts
from tests.flows.conftest import Desk
from tests.flows.test_standing_orders import eventually

PAY = [{"op": "replace", "path": "/order/status", "value": "paid"}, {"op": "add", "path": "/log/-", "value": "paid"}]
STATE = {"order": {"id": 17, "status": "open"}, "log": []}
DONE = {"text": "done"}


def update(*patch: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A step that wants to change the state."""
    args = {"patch": list(patch) or PAY, "why": "The person has paid.", **more}
    return {"tools": [{"name": "update_context", "args": args}]}


async def beside(desk: Desk, **columns: Any) -> UUID:
    """A conversation beside an application."""
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        row = await unit.conversations.add(
            {
                "id": new_id(),
                "user_id": desk.owner.user_id,
                "pattern": "sidekick",
                "agent": "sidekick",
                "context_data": STATE,
                **columns,
            }
        )
    return row.id


async def state(desk: Desk, conversation_id: UUID) -> Conversation:
    """The conversation as it is now."""
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        row = await unit.conversations.get(conversation_id)
    assert row is not None
    return row


async def patches(desk: Desk, run: Run) -> list[dict[str, Any]]:
    """What was told of changes."""
    return [event for event in await desk.events(run) if event["type"] == "context.patch"]


async def test_the_state_stands_in_the_words_of_each_request(desk: Desk, model: Loopback) -> None:
    conversation_id = await beside(desk, context_changes="apply")
    run = await desk.say(conversation_id, update(), DONE, mark="state-shown")
    assert (await desk.answer(run)).run.status == "completed"
    first, second = (entry["system"] for entry in model.log() if entry["marker"] == "state-shown")
    assert (
        '<application_state version="0">\n{"log":[],"order":{"id":17,"status":"open"}}\n</application_state>' in first
    )
    assert '<application_state version="1">' in second
    assert '"status":"paid"' in second


async def test_a_change_is_proposed_to_the_client(desk: Desk) -> None:
    conversation_id = await beside(desk)
    turn = await desk.answer(await desk.say(conversation_id, update(version=0), DONE))
    assert turn.run.status == "completed"
    (event,) = await patches(desk, turn.run)
    assert (event["patch"], event["base_version"], event["applied"], event["version"]) == (PAY, 0, False, None)
    assert (event["why"], event["taint"]) == ("The person has paid.", [])
    assert (await state(desk, conversation_id)).context_version == 0
    (call,) = await desk.journal(turn.run.id)
    assert (call.status, call.result["applied"]) == ("done", False)
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:  # the client makes it, as it was told
        wanted = ContextChange.model_validate({"patch": event["patch"], "version": event["base_version"]})
        row = await contexts.change(unit, desk.owner, conversation_id, wanted, most=1000)
    assert (row.context_data["order"]["status"], row.context_version) == ("paid", 1)


@pytest.mark.parametrize(("decision", "version"), [("approve", 1), ("deny", 0)])
async def test_a_person_is_asked_where_the_conversation_says_so(desk: Desk, decision: str, version: int) -> None:
    conversation_id = await beside(desk, context_changes="ask")
    turn = await desk.answer(await desk.say(conversation_id, update(), DONE))
    (approval,) = turn.approvals
    assert (approval.tool, (await state(desk, conversation_id)).context_version) == ("update_context", 0)
    await desk.decide(approval.id, decision)
    after = await desk.answer(turn.run)
    row = await state(desk, conversation_id)
    assert (after.run.status, row.context_version) == ("completed", version)
    assert [(one["applied"], one["version"]) for one in await patches(desk, after.run)] == [(True, 1)] * version
    await desk.entries(conversation_id)


async def test_a_tainted_run_asks_before_it_changes_anything(desk: Desk) -> None:
    conversation_id = await beside(desk, context_changes="apply", taint=["web_page"])
    turn = await desk.answer(await desk.say(conversation_id, update(), DONE))
    (approval,) = turn.approvals
    assert (approval.taint, turn.run.status) == (["web_page"], "waiting")
    await desk.cancel(turn.run.id)
    proposed = await desk.answer(await desk.say(await beside(desk, taint=["context"]), update(), DONE))
    assert [one["taint"] for one in await patches(desk, proposed.run)] == [["context"]]


async def test_what_cannot_be_made_is_told_to_the_model_and_to_nobody_else(desk: Desk) -> None:
    schema = {"type": "object", "properties": {"order": {"type": "object"}, "log": {"type": "array", "maxItems": 1}}}
    conversation_id = await beside(desk, context_changes="ask", context_schema=schema)
    wrong = (
        update({"op": "remove", "path": "/nowhere"}),
        update({"op": "replace", "path": "/log", "value": [1, 2]}, version=0),
        update(version=4),
    )
    for step in wrong:
        turn = await desk.answer(await desk.say(conversation_id, step, DONE))
        assert (turn.run.status, turn.approvals) == ("completed", [])
        assert await patches(desk, turn.run) == []
    assert (await state(desk, conversation_id)).context_version == 0


async def test_a_change_that_was_agreed_to_too_late_is_refused(desk: Desk) -> None:
    conversation_id = await beside(desk, context_changes="ask")
    turn = await desk.answer(await desk.say(conversation_id, update(version=0), DONE))
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        change = ContextChange.model_validate({"merge": {"order": {"id": 18}}})
        await contexts.change(unit, desk.owner, conversation_id, change, most=1000)
    await desk.decide(turn.approvals[0].id, "approve")
    after = await desk.answer(turn.run)
    (call,) = await desk.journal(after.run.id)
    assert (after.run.status, call.status) == ("completed", "failed")
    assert "version 1" in call.result
    assert (await state(desk, conversation_id)).context_data["order"] == {"id": 18, "status": "open"}


async def test_many_changes_of_one_response_are_made_one_after_the_other(desk: Desk) -> None:
    conversation_id = await beside(desk, context_changes="apply")
    each = [update({"op": "add", "path": "/log/-", "value": n})["tools"][0] for n in range(8)]
    read = {"name": "read_context", "args": {"pointer": "/log"}}
    turn = await desk.answer(await desk.say(conversation_id, {"tools": [*each, read]}, DONE))
    row = await state(desk, conversation_id)
    assert (turn.run.status, row.context_version, sorted(row.context_data["log"])) == ("completed", 8, list(range(8)))
    events = await desk.events(turn.run)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert sorted(one["version"] for one in events if one["type"] == "context.patch") == list(range(1, 9))


@pytest.mark.parametrize("changes", ["propose", "apply"])
@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_process_that_dies_around_the_change_has_made_it_once(desk: Desk, changes: str, cut: str) -> None:
    """Killed right before the commit of the change, or between it and everything that follows."""
    conversation_id = await beside(desk, context_changes=changes)
    database, executor = desk.runtime.database, desk.runtime.works.executor
    when = "OLD.status = 'done'" if cut == "after" else "OLD.status = 'started'"
    async with database.across() as unit:
        await unit.connection.execute(text(_GATE))
        await unit.connection.execute(text(_CUT.format(when=when)))
    async with database.across() as gate:
        await gate.connection.execute(text("SELECT pg_advisory_xact_lock(4711)"))
        run = await desk.say(conversation_id, update(), DONE)

        async def stands_at_the_gate() -> bool:
            async with database.across() as unit:
                return (await unit.connection.execute(text(f"SELECT 1 {_WAITING}"))).first() is not None

        await eventually(stands_at_the_gate)
        execution = executor.execution(run.id)
        assert execution is not None
        assert execution.task is not None
        execution.stop = "lost"
        execution.task.cancel()
        async with database.across() as unit:
            await unit.connection.execute(text(f"SELECT pg_cancel_backend(pid) {_WAITING}"))
        await execution.ended.wait()
    async with database.across() as unit:
        await unit.connection.execute(text("DROP TRIGGER cut ON tool_calls"))
        await unit.connection.execute(text("UPDATE runs SET lease_until = app_now() - interval '1 second'"))
    turn = await desk.answer(run)
    assert (turn.run.status, turn.run.attempt) == ("completed", 2)
    row = await state(desk, conversation_id)
    assert (row.context_version, row.context_data["log"]) == ((1, ["paid"]) if changes == "apply" else (0, []))
    assert [event["applied"] for event in await patches(desk, turn.run)] == [changes == "apply"]
    assert [call.status for call in await desk.journal(run.id)] == ["done"]
    await desk.entries(conversation_id)


_GATE = """
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$
"""
_WAITING = """
FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.objid = 4711 AND NOT l.granted AND d.datname = current_database()
"""
_CUT = "CREATE TRIGGER cut BEFORE UPDATE ON tool_calls FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION gate()"
