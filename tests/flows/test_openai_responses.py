"""Responses, asked for with the official client over a real connection, on the scripted provider."""

from typing import Any

import openai
import pytest
from support.loopback import Loopback
from support.model_server import script
from support.openai_door import Door, kinds

from tests.flows.conftest import Desk
from tests.flows.test_effects import POST

CLOCK: dict[str, Any] = {"tools": [{"name": "current_time", "args": {"timezone": "UTC"}}]}


async def test_a_response_and_what_goes_on_from_it(here: Door, desk: Desk) -> None:
    create = here.client.responses.create
    first = await create(
        model="assistant", input=script(CLOCK, {"text": "It is late."}), metadata={"case": "7"}, max_tool_calls=3
    )
    assert (first.status, first.output_text, first.metadata) == ("completed", "It is late.", {"case": "7"})
    assert kinds(first) == ["mcp_call", "message"]
    assert first.usage is not None
    assert first.usage.total_tokens > 0
    second = await create(model="assistant", input=script({"text": "second"}), previous_response_id=first.id)
    assert second.conversation == first.conversation
    assert second.previous_response_id == first.id
    assert (await here.client.responses.retrieve(first.id)).to_dict() == first.to_dict()
    fork = await create(model="assistant", input=script({"text": "other"}), previous_response_id=first.id)
    assert fork.conversation != first.conversation
    assert first.conversation is not None
    third = await create(model="assistant", input=script({"text": "third"}), conversation=first.conversation.id)
    assert third.conversation == first.conversation
    shown = (await here.plain.get("/conversations")).json()["data"]
    assert len(shown) == 2
    again = await here.client.responses.cancel(third.id)
    assert again.status == "completed"


async def test_a_stream_adds_up_to_the_response(here: Door) -> None:
    async with here.client.responses.stream(
        model="assistant", input=script({**CLOCK, "text": "Let me see."}, {"text": "It is late in the evening."})
    ) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    types = [event.type for event in events]
    assert types[:2] == ["response.created", "response.in_progress"]
    assert types[-1] == "response.completed"
    assert types.count("response.output_text.delta") >= 4
    assert [event.sequence_number for event in events] == list(range(len(events)))
    stored = await here.client.responses.retrieve(final.id)
    assert [item.to_dict() for item in stored.output] == [
        {key: value for key, value in item.to_dict().items() if key not in ("parsed", "parsed_arguments")}
        for item in final.output
    ] or stored.output_text == final.output_text
    rest = await here.client.responses.retrieve(final.id, stream=True, starting_after=6)
    assert [event.type async for event in rest] == types[7:]


async def test_a_background_response_is_followed_from_a_number_on(here: Door, model: Loopback) -> None:
    text = script({"text": "one two three four", "chunks": 4, "hold_after": 3, "hold_s": 20}, mark="held")
    started = await here.client.responses.create(model="assistant", input=text, background=True, stream=True)
    seen: list[Any] = []
    async for event in started:
        seen.append(event)
        if event.type == "response.output_text.delta":
            break
    await started.close()
    response_id = seen[0].response.id
    assert seen[0].response.background is True
    assert (await here.client.responses.retrieve(response_id)).status in ("queued", "in_progress")
    last = seen[-1].sequence_number
    follow = await here.client.responses.retrieve(response_id, stream=True, starting_after=last)
    model.release("held")
    more = [event async for event in follow]
    assert [event.sequence_number for event in more] == list(range(last + 1, last + 1 + len(more)))
    assert more[-1].type == "response.completed"
    assert more[-1].response.output_text == "one two three four"


async def test_a_person_is_asked_in_the_words_of_the_protocol(desk: Desk, here: Door, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(approval="ask")

    create = here.client.responses.create
    first = await create(model="assistant", input=script(POST, {"text": "posted"}), conversation=str(conversation_id))
    request = first.output[0]
    assert request.type == "mcp_approval_request"
    word: Any = [{"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}]
    second = await create(model="assistant", previous_response_id=first.id, input=word)
    assert kinds(second) == ["mcp_call", "message"]
    assert second.output[0].to_dict()["approval_request_id"] == request.id


async def test_conflicts_are_not_tried_again_and_failures_are_told(desk: Desk, here: Door, model: Loopback) -> None:
    conversation_id = await desk.conversation()
    held = script({"text": "slow", "hold_s": 20}, mark="slow")
    run = await desk.say(conversation_id, {"text": "slow", "hold_s": 20}, mark="slow")
    sent: list[str] = []

    async def count(request: Any) -> None:
        sent.append(request.url.path)

    patient = here.client.with_options(max_retries=3)
    patient._client.event_hooks["request"].append(count)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(openai.ConflictError) as busy:
        await patient.responses.create(model="assistant", input=held, conversation=str(conversation_id))
    assert (busy.value.code, len(sent)) == ("conversation_busy", 1)
    await desk.cancel(run.id)
    failed = await here.client.responses.create(model="assistant", input=script({"status": 400, "error": {}}))
    assert (failed.status, failed.error is not None) == ("failed", True)
    sent.clear()
    with pytest.raises(openai.InternalServerError):
        await patient.chat.completions.create(
            model="assistant", messages=[{"role": "user", "content": script({"status": 400, "error": {}})}]
        )
    assert len(sent) == 1
