"""Turns of a conversation through intake, executor and log, on a real ledger."""

from uuid import UUID

import pytest

from app.models.errors import Conflict
from app.models.identity import Principal
from app.models.ids import new_id
from app.runtime import Runtime
from app.services import chat, messages
from app.services.chat import Say, Turn


async def new_conversation(runtime: Runtime, owner: Principal) -> UUID:
    async with runtime.database.begin(owner.workspace_id) as unit:
        row = await unit.conversations.add(
            {"id": new_id(), "user_id": owner.user_id, "pattern": "chatbot", "agent": "assistant"}
        )
    return row.id


async def turn(runtime: Runtime, owner: Principal, conversation_id: UUID, text: str) -> Turn:
    run, *_ = await chat.say(runtime.works.chat, owner, conversation_id, Say(text), None)
    return await chat.answer(runtime.works.chat, run)


async def test_two_turns_are_answered_and_logged(runtime: Runtime, owner: Principal) -> None:
    conversation_id = await new_conversation(runtime, owner)
    first = await turn(runtime, owner, conversation_id, "What is 6 * 7?")
    second = await turn(runtime, owner, conversation_id, "hello")
    assert (first.run.status, second.run.status) == ("completed", "completed")
    assert first.result is not None
    assert "42" in (first.result.text or "")
    async with runtime.database.begin(owner.workspace_id) as unit:
        items = await messages.listed(unit, conversation_id)
        calls = await unit.journal.of_run(first.run.id)
    assert [item.role for item in items] == ["user", "assistant", "assistant", "user", "assistant"]
    assert [(call.tool, call.status) for call in calls] == [("calculator", "done")]
    assert first.run.usage["requests"] == 2
    assert first.run.usage["cost_usd"] is None


async def test_an_empty_conversation_has_nothing_to_continue(runtime: Runtime, owner: Principal) -> None:
    conversation_id = await new_conversation(runtime, owner)
    with pytest.raises(Conflict, match="empty"):
        await chat.say(runtime.works.chat, owner, conversation_id, Say(None), None)
