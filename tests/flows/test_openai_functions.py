"""Functions of the client, asked for and answered through the official client of the OpenAI API."""

import json
from typing import Any

import openai
import pytest
from support.loopback import Loopback
from support.model_server import script
from support.openai_door import Door, kinds

OPEN: Any = {
    "type": "function",
    "name": "open_page",
    "description": "Open a page.",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    "strict": None,
}
CALL: dict[str, Any] = {"tools": [{"name": "open_page", "args": {"path": "/orders"}}]}


async def test_a_function_of_the_client_is_asked_for_and_answered(here: Door) -> None:
    create = here.client.responses.create
    first = await create(model="assistant", input=script(CALL, {"text": "It is open."}), tools=[OPEN])
    assert (first.status, kinds(first)) == ("completed", ["function_call"])
    call = first.output[0]
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("open_page", {"path": "/orders"})
    with pytest.raises(openai.ConflictError) as busy:
        await create(model="assistant", input="Never mind", previous_response_id=first.id)
    assert busy.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.NotFoundError):
        await create(
            model="assistant",
            previous_response_id=first.id,
            input=[{"type": "function_call_output", "call_id": "other", "output": "x"}],
        )
    answer: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "opened"}]
    second = await create(model="assistant", previous_response_id=first.id, input=answer)
    assert (second.id, second.output_text) == (f"{first.id}_2", "It is open.")
    assert (await here.client.responses.retrieve(first.id)).output == first.output
    with pytest.raises(openai.ConflictError) as late:
        await create(model="assistant", previous_response_id=first.id, input=answer)
    assert late.value.code == "already_answered"
    stateless: Any = [{"role": "user", "content": script(CALL, {"text": "As I said."})}]
    stateless += [item.to_dict() for item in first.output] + answer
    third = await create(model="assistant", input=stateless, store=False)
    assert third.output_text == "As I said."
    with pytest.raises(openai.NotFoundError):
        await here.client.responses.retrieve(third.id)


async def test_a_completion_ends_with_the_functions_that_it_asks_for(here: Door) -> None:
    messages: list[Any] = [{"role": "user", "content": script(CALL, {"text": "It is open."})}]
    tools: Any = [{"type": "function", "function": {key: OPEN[key] for key in ("name", "description", "parameters")}}]
    create = here.client.chat.completions.create
    first = await create(model="assistant", messages=messages, tools=tools)
    assert first.choices[0].finish_reason == "tool_calls"
    calls = first.choices[0].message.tool_calls or []
    assert [call.to_dict()["function"] for call in calls] == [{"name": "open_page", "arguments": '{"path":"/orders"}'}]
    run = (await here.plain.get(f"/runs/{first.id.removeprefix('chatcmpl-')}")).json()
    assert (run["status"], run["status_reason"]) == ("cancelled", "handed_over")
    chunks = [chunk async for chunk in await create(model="assistant", messages=messages, tools=tools, stream=True)]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": calls[0].id, "content": "opened"}]
    second = await create(model="assistant", messages=messages, tools=tools)
    assert second.choices[0].message.content == "It is open."


async def test_what_is_said_otherwise_and_the_form_of_the_answer(here: Door, model: Loopback) -> None:
    chat: Any = [{"role": "system", "content": "Answer as a pirate."}]
    chat.append({"role": "user", "content": script({"text": "Ahoy."}, mark="pirate")})
    answer = await here.client.chat.completions.create(
        model="assistant", messages=chat, temperature=0.2, max_completion_tokens=50, reasoning_effort="low"
    )
    assert answer.choices[0].message.content == "Ahoy."
    run = (await here.plain.get(f"/runs/{answer.id.removeprefix('chatcmpl-')}")).json()
    assert run["status"] == "completed"
    with pytest.raises(openai.BadRequestError) as refused:
        await here.client.chat.completions.create(model="delegate", messages=chat)
    assert (refused.value.code, refused.value.param) == ("override_not_allowed", "messages")
    schema: Any = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    data = script({"tools": [{"name": "final_result", "args": {"n": 7}}]})
    form: Any = {"type": "json_schema", "name": "number", "schema": schema}
    response = await here.client.responses.create(
        model="assistant", input=data, text={"format": form}, instructions="Count.", max_output_tokens=99
    )
    assert json.loads(response.output_text) == {"n": 7}
    assert (response.instructions, response.max_output_tokens) == ("Count.", 99)
