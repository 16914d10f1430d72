"""Chat completions, asked for with the official client over a real connection."""

from collections.abc import AsyncGenerator

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from support.serving import serving
from support.strangers import stranger

from app.config import Settings
from app.main import create_app

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello there"}]


@pytest.fixture
async def base(settings: Settings) -> AsyncGenerator[str]:
    async with serving(create_app(settings)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def client(base: str) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with httpx.AsyncClient(base_url=base) as plain:
        key = (await plain.post("/api-keys", json={"name": "openai"})).json()["key"]
    async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, timeout=30) as opened:
        yield opened


async def test_agents_are_models(client: openai.AsyncOpenAI) -> None:
    listed = [model.id async for model in client.models.list()]
    assert {"assistant", "delegate"} <= set(listed)
    assert (await client.models.retrieve("assistant")).owned_by == "sixlane"
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("nobody")
    assert (caught.value.code, caught.value.param, caught.value.type) == (
        "model_not_found",
        "model",
        "invalid_request_error",
    )


async def test_an_agent_answers_a_chat(client: openai.AsyncOpenAI, base: str) -> None:
    answer = await client.chat.completions.create(model="sixlane/assistant", messages=HELLO)
    assert answer.object == "chat.completion"
    assert answer.model == "assistant"
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
    assert "Hello there" in (choice.message.content or "")
    assert answer.usage is not None
    async with httpx.AsyncClient(base_url=base) as plain:
        run_id = answer.id.removeprefix("chatcmpl-")
        run = (await plain.get(f"/runs/{run_id}")).json()
        assert (run["status"], run["trigger"]) == ("completed", "chat_completion")
        assert (await plain.get("/conversations")).json()["data"] == []
        messages = (await plain.get(f"/conversations/{run['conversation_id']}/messages")).json()["data"]
        assert [one["role"] for one in messages] == ["user", "assistant"]


async def test_the_history_is_the_clients(client: openai.AsyncOpenAI) -> None:
    history: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": [{"type": "text", "text": "What is 2 + 3?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "calculator", "arguments": '{"expression":"2+3"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
    ]
    answer = await client.chat.completions.create(model="assistant", messages=history)
    assert "calculator: 5" in (answer.choices[0].message.content or "")
    for broken in (history[:2], history[:1] + history[2:], history[:2] + HELLO):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="assistant", messages=broken)
        assert caught.value.code == "invalid_history"


async def test_a_stream_ends_with_a_reason_and_the_usage(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="assistant", messages=HELLO)
    stream = await client.chat.completions.create(
        model="assistant", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert len(chunks) > 3
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0


async def test_what_is_not_supported_is_refused_by_name(client: openai.AsyncOpenAI) -> None:
    for name, value in (("stop", ["x"]), ("n", 2), ("logprobs", True), ("made_up", 1), ("audio", {})):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="assistant", messages=HELLO, extra_body={name: value})
        assert caught.value.param == name, caught.value.body
    fine = {"n": 1, "temperature": 1.0, "top_p": 1, "presence_penalty": 0, "logit_bias": {}, "tool_choice": "auto"}
    await client.chat.completions.create(model="assistant", messages=HELLO, extra_body={**fine, "seed": None})


async def test_errors_are_in_one_shape(base: str) -> None:
    async with httpx.AsyncClient(base_url=base) as plain:
        answers = [
            await plain.get("/v1/nothing"),
            await plain.put("/v1/models"),
            await plain.post("/v1/chat/completions", content=b"{", headers={"Content-Type": "application/json"}),
            await plain.post("/v1/chat/completions", json={"model": "nobody", "messages": HELLO}),
            await plain.post("/v1/chat/completions", json={}),
            await plain.get("/v1/models", headers={"Authorization": "Bearer wrong"}),
        ]
    assert [answer.status_code for answer in answers] == [404, 405, 400, 404, 400, 401]
    for answer in answers:
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()) == {"error"}
        assert {"message", "type", "param", "code"} <= set(answer.json()["error"])
    assert answers[-1].json()["error"]["type"] == "authentication_error"


async def test_one_key_one_run(client: openai.AsyncOpenAI) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await client.chat.completions.create(model="assistant", messages=HELLO, extra_headers=headers)
    again = await client.chat.completions.create(model="assistant", messages=HELLO, extra_headers=headers)
    assert again.id == first.id
    assert again.choices == first.choices


async def test_a_response_is_unknown_to_a_stranger(settings: Settings) -> None:
    app = create_app(settings)
    async with serving(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as plain:
        made = (await plain.post("/v1/responses", json={"model": "assistant", "input": "Hello"})).json()
        own, other = f"/v1/responses/{made['id']}", f"/v1/responses/resp_{'0' * 32}"
        async with await stranger(app) as them:
            for method, path, absent in (("GET", own, other), ("POST", f"{own}/cancel", f"{other}/cancel")):
                answer = await them.request(method, path)
                assert (answer.status_code, answer.json()) == (404, (await them.request(method, absent)).json())
            for more in ({"previous_response_id": made["id"]}, {"conversation": made["conversation"]["id"]}):
                body = {"model": "assistant", "input": "Hello", **more}
                assert (await them.post("/v1/responses", json=body)).status_code == 404
        for bad in ("resp_x", f"{made['id']}_2", f"{made['id']}_0", "x", str(made["conversation"]["id"])):
            assert (await plain.get(f"/v1/responses/{bad}")).status_code == 404
        for body in (
            {"top_logprobs": 3},
            {"previous_response_id": made["id"], "conversation": "x"},
            {"background": True, "store": False},
            {"input": [{"type": "image", "x": 1}]},
            {"input": []},
            {"include": ["reasoning.encrypted_content"]},
            {"text": {"format": {"type": "json_object"}}},
        ):
            answer = await plain.post("/v1/responses", json={"model": "assistant", "input": "Hello", **body})
            assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error"), body
