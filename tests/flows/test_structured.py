"""Agents with an output schema: they answer data, are told what is wrong with it, and fail when they do not learn."""

from typing import Any
from uuid import UUID

import pytest

from app.agents.definition import AgentDefinition
from app.agents.registry import AgentRegistry
from app.models.ids import new_id
from app.models.run import Limits
from app.services import definitions, messages
from app.services.chat import Turn
from tests.flows.conftest import Desk

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
EXTRACTOR = AgentDefinition(
    name="extractor", instructions="Extract.", tools=("calculator",), output_schema=SCHEMA, limits=Limits(steps=6)
)
DATA = {"city": "Paris", "people": 2_100_000}
ANSWER = {"tools": [{"name": "final_result", "args": DATA}]}
SUM = {"tools": [{"name": "calculator", "args": {"expression": "21 * 100000"}}]}


async def conversation(desk: Desk) -> UUID:
    """A conversation with the extractor, whose definition this process only has from the ledger."""
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        await definitions.store(unit, EXTRACTOR)
        row = await unit.conversations.add(
            {"id": new_id(), "user_id": desk.owner.user_id, "pattern": "chatbot", "agent": EXTRACTOR.name}
        )
    return row.id


async def extract(desk: Desk, conversation_id: UUID, *steps: dict[str, Any], stream: bool = False) -> Turn:
    registry = AgentRegistry([EXTRACTOR])
    turn = await desk.answer(await desk.say(conversation_id, *steps, stream=stream, registry=registry))
    await desk.entries(conversation_id)
    return turn


@pytest.mark.parametrize("stream", [False, True])
async def test_data_is_the_answer(desk: Desk, stream: bool) -> None:
    conversation_id = await conversation(desk)
    for _ in range(2):  # the second turn goes on from a thread that holds such an answer
        turn = await extract(desk, conversation_id, SUM, ANSWER, stream=stream)
        assert turn.run.status == "completed", turn.run.status_detail
        assert turn.result is not None
        assert turn.result.data == DATA
        assert turn.run.usage["requests"] == 2
        last = (await desk.events(turn.run))[-1]
        assert (last["type"], last["result"]["data"]) == ("run.completed", DATA)
        async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
            items = await messages.listed(unit, conversation_id)
        assert last["message_id"] == str(items[-1].id) == str(turn.result.entry_id)
        assert items[-1].role == "assistant"


@pytest.mark.parametrize("raw", ['{"city": ', '["Paris", 2100000]'], ids=["no-json", "no-object"])
async def test_what_is_no_object_is_told_to_the_model_and_then_given_up(desk: Desk, raw: str) -> None:
    wrong = {"bad_args": {"name": "final_result", "raw": raw}}
    conversation_id = await conversation(desk)
    turn = await extract(desk, conversation_id, wrong, ANSWER)
    assert turn.run.status == "completed", turn.run.status_detail
    assert turn.result is not None
    assert (turn.result.data, turn.run.usage["requests"]) == (DATA, 2)
    turn = await extract(desk, conversation_id, *[wrong] * 6)
    assert (turn.run.status, turn.run.status_reason) == ("failed", "output_invalid")
    assert (turn.run.usage["requests"], turn.result.data if turn.result else "") == (3, None)
    turn = await extract(desk, conversation_id, ANSWER)
    assert turn.run.status == "completed", turn.run.status_detail


async def test_prose_is_no_answer(desk: Desk) -> None:
    conversation_id = await conversation(desk)
    turn = await extract(desk, conversation_id, *[{"text": "Paris, of course."}] * 6)
    assert (turn.run.status, turn.run.status_reason) == ("failed", "output_invalid")
    turn = await extract(desk, conversation_id, ANSWER)
    assert turn.run.status == "completed", turn.run.status_detail


async def test_a_limit_holds_on_the_way_to_the_answer(desk: Desk) -> None:
    conversation_id = await conversation(desk)
    turn = await extract(desk, conversation_id, *[SUM] * 8)
    assert (turn.run.status, turn.run.status_reason) == ("failed", "limit_steps")
