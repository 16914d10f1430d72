"""The streams of the Vercel AI SDK and of AG-UI; the libraries themselves are run by the gate."""

import json
from typing import Any
from uuid import UUID

import httpx
from ag_ui.core import Event as AgUiEvent
from pydantic import TypeAdapter
from support.loopback import Loopback
from support.model_server import script
from support.openai_door import Door

from tests.flows.conftest import Desk
from tests.flows.test_effects import POST, sent

CLOCK: dict[str, Any] = {"text": "Let me see.", "tools": [{"name": "current_time", "args": {"timezone": "UTC"}}]}


def chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(one) for one in found if one != "[DONE]"]


async def vercel(here: Door, conversation_id: UUID, message: dict[str, Any]) -> list[dict[str, Any]]:
    body = {"id": "chat", "messages": [message], "trigger": "submit-message"}
    answer = await here.plain.post(f"/conversations/{conversation_id}/vercel-ai", json=body)
    if answer.status_code == 200:
        assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert answer.text.endswith("data: [DONE]\n\n")
    return chunks(answer)


def user(text: str) -> dict[str, Any]:
    return {"id": "m1", "role": "user", "parts": [{"type": "text", "text": text}]}


async def ag_ui(here: Door, conversation_id: UUID, **more: Any) -> list[Any]:
    body = {"threadId": "t", "runId": "r", "messages": [], "tools": [], "context": [], "state": {}, **more}
    found = chunks(await here.plain.post(f"/conversations/{conversation_id}/ag-ui", json=body))
    for one in found:
        TypeAdapter[Any](AgUiEvent).validate_python(one)
    return found


async def test_a_turn_in_the_chunks_of_the_sdk(desk: Desk, here: Door) -> None:
    conversation_id = await desk.conversation()
    found = await vercel(here, conversation_id, user(script(CLOCK, {"text": "It is late."})))
    types = [one["type"] for one in found]
    assert types[:2] == ["start", "start-step"]
    assert types[-2:] == ["finish-step", "finish"]
    assert found[-1]["finishReason"] == "stop"
    opened = {one["id"] for one in found if one["type"] == "text-start"}
    assert opened == {one["id"] for one in found if one["type"] == "text-end"}
    assert len(opened) == 2
    assert types.index("tool-output-available") < types.index("finish-step") < types.index("start-step", 2)
    text = [one["delta"] for one in found if one["type"] == "text-delta"]
    assert "".join(text) == "Let me see.It is late."
    idle = await here.plain.get(f"/conversations/{conversation_id}/vercel-ai/chat/stream")
    assert idle.status_code == 204


async def test_an_answer_that_is_being_given_is_resumed_the_same(desk: Desk, here: Door, model: Loopback) -> None:
    conversation_id = await desk.conversation()
    run = await desk.say(
        conversation_id, {"text": "one two three", "hold_after": 3, "hold_s": 20}, mark="resume", stream=True
    )
    url = f"/conversations/{conversation_id}/vercel-ai/chat/stream"
    whole: list[str] = []
    async with here.plain.stream("GET", url) as first:
        async for line in first.aiter_lines():
            whole.append(line)
            if "text-delta" in line:
                model.release("resume")
    await desk.answer(run)
    await here.plain.get(f"/runs/{run.id}/events")
    assert whole[-2] == "data: [DONE]"
    assert sum('"text-start"' in line for line in whole) == 1


async def test_a_decision_over_either_protocol_goes_on_where_it_stopped(
    desk: Desk, here: Door, far_end: Loopback
) -> None:
    conversation_id = await desk.conversation(approval="ask")
    found = await vercel(here, conversation_id, user(script(POST, {"text": "posted"})))
    assert found[-1] == {"type": "finish", "finishReason": "tool-calls"}
    asked = next(one for one in found if one["type"] == "tool-approval-request")
    part = {"type": "dynamic-tool", "toolName": "http_post", "toolCallId": asked["toolCallId"], "input": {}}
    word = {"id": asked["approvalId"], "approved": True}
    message = {"id": "a", "role": "assistant", "parts": [{**part, "state": "approval-responded", "approval": word}]}
    after = await vercel(here, conversation_id, message)
    assert [one["type"] for one in after if one["type"].startswith("tool")] == ["tool-output-available"]
    assert sent(far_end, UUID(found[0]["messageId"])) == 1
    late = await here.plain.post(f"/conversations/{conversation_id}/vercel-ai", json={"messages": [message]})
    assert (late.status_code, late.json()["code"]) == (409, "nothing_waits")

    prompt = {"id": "u", "role": "user", "content": script(POST, {"text": "posted"})}
    events = await ag_ui(here, conversation_id, messages=[prompt])
    outcome = events[-1]["outcome"]
    assert (events[0]["type"], outcome["type"]) == ("RUN_STARTED", "interrupt")
    answer = {"interruptId": outcome["interrupts"][0]["id"], "status": "resolved", "payload": {"approved": False}}
    rest = await ag_ui(here, conversation_id, messages=[prompt], resume=[answer])
    assert [one["type"] for one in rest if one["type"] != "TEXT_MESSAGE_CONTENT"][-3:] == [
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]
    assert rest[-1]["outcome"] == {"type": "success"}
    broken = {"threadId": "t", "runId": "r", "messages": [], "resume": [{**answer, "payload": {"approved": 1}}]}
    assert (await here.plain.post(f"/conversations/{conversation_id}/ag-ui", json=broken)).status_code == 422


async def test_a_failure_is_an_error_in_both(desk: Desk, here: Door) -> None:
    conversation_id = await desk.conversation()
    failing = script({"status": 400, "error": {}})
    assert (await vercel(here, conversation_id, user(failing)))[-1]["type"] == "error"
    events = await ag_ui(here, conversation_id, messages=[{"id": "u", "role": "user", "content": failing}])
    assert events[-1]["type"] == "RUN_ERROR"


async def test_a_tool_and_the_state_of_an_application(desk: Desk, here: Door) -> None:
    conversation_id = await desk.conversation()
    tool = {"name": "open_page", "description": "Open a page.", "parameters": {"type": "object", "properties": {}}}
    steps = script({"tools": [{"name": "open_page", "args": {}}]}, {"text": "It is open."})
    prompt = {"id": "u", "role": "user", "content": steps}
    first = await ag_ui(here, conversation_id, messages=[prompt], tools=[tool], state={"page": "start"})
    assert {"type": "STATE_SNAPSHOT", "snapshot": {"page": "start"}} in first
    (pending,) = first[-1]["outcome"]["pendingToolCallIds"]
    result = {"id": "x", "role": "tool", "toolCallId": pending, "content": "opened"}
    called = {"id": "a", "role": "assistant", "content": ""}
    second = await ag_ui(here, conversation_id, messages=[prompt, called, result], tools=[tool])
    assert "".join(one.get("delta", "") for one in second) == "It is open."
    asked = await vercel(here, conversation_id, user(steps))
    call = next(one for one in asked if one["type"] == "tool-input-available")
    assert "providerExecuted" not in call
    part = {"type": "dynamic-tool", "toolCallId": call["toolCallId"], "state": "output-available", "output": {"ok": 1}}
    told = await vercel(here, conversation_id, {"id": "a", "role": "assistant", "parts": [part]})
    assert told[-1]["finishReason"] == "stop"
    assert not [one for one in told if one["type"].startswith("tool")]
