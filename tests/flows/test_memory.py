"""What agents remember: given to runs where it is switched on, listed, deleted, and tainted for good."""

from typing import Any
from uuid import UUID

from app.agents.definition import AgentDefinition
from app.agents.registry import AgentRegistry
from app.models.agent import MemoryScope
from app.models.ids import new_id
from app.models.run import Run
from app.services import definitions
from tests.flows.conftest import Desk

RECALL = {"tools": [{"name": "recall", "args": {"query": ""}}]}


def note(key: str, said: str) -> dict[str, Any]:
    return {"tools": [{"name": "remember", "args": {"key": key, "text": said}}]}


async def turn(desk: Desk, memory: MemoryScope, *steps: dict[str, Any], taint: tuple[str, ...] = ()) -> Run:
    """A turn of an agent with that kind of memory, in a conversation of its own."""
    agent = AgentDefinition(name="assistant", tools=("remember", "recall", "forget"), memory=memory)
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        await definitions.store(unit, agent)
        row = await unit.conversations.add(
            {
                "id": new_id(),
                "user_id": desk.owner.user_id,
                "pattern": "chatbot",
                "agent": "assistant",
                "taint": list(taint),
            }
        )
    run = await desk.say(row.id, *steps, registry=AgentRegistry([agent]))
    return (await desk.answer(run)).run


async def conversation_taint(desk: Desk, conversation_id: UUID) -> list[str]:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        row = await unit.conversations.get(conversation_id)
    assert row is not None
    return row.taint


async def test_an_agents_own_notes_are_apart_from_those_that_all_share(desk: Desk) -> None:
    run = await turn(desk, "user", note("colour", "green"), {"text": "kept"})
    own = await turn(desk, "agent", note("colour", "blue"), {"text": "kept"})
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        (shared,) = await unit.notes.recall(desk.owner.user_id, "")
        (apart,) = await unit.notes.recall(desk.owner.user_id, "", agent="assistant")
    assert (shared.text, shared.run_id, shared.conversation_id) == ("green", run.id, run.conversation_id)
    assert (apart.text, apart.run_id, apart.taint) == ("blue", own.id, [])


async def test_notes_are_given_only_where_memory_is_on(desk: Desk) -> None:
    await turn(desk, "user", note("diet", "no walnuts"), {"text": "kept"})
    sizes = {scope: (await turn(desk, scope, {"text": "hello"})).usage["sent"]["bytes"] for scope in SCOPES}
    assert sizes["off"] == sizes["agent"] < sizes["user"]


SCOPES: tuple[MemoryScope, ...] = ("off", "user", "agent")


async def test_tainted_facts_stay_tainted(desk: Desk) -> None:
    kept = await turn(desk, "user", note("tip", "ask Eve"), {"text": "kept"}, taint=("web_page",))
    assert kept.status == "waiting"  # the person is asked, since notes are read later
    approval = (await desk.answer(kept)).approvals[0]
    await desk.decide(approval.id, "approve")
    assert (await desk.answer(kept)).run.status == "completed"

    given = await turn(desk, "user", {"text": "hello"})
    assert given.taint == ["web_page"]
    assert await conversation_taint(desk, given.conversation_id) == ["web_page"]
    assert (await turn(desk, "off", {"text": "hello"})).taint == []
    recalled = await turn(desk, "off", RECALL, {"text": "that is it"})
    assert recalled.taint == ["web_page"]
    (call,) = await desk.journal(recalled.id)
    assert call.result[0]["written_after_reading"] == ["web_page"]
