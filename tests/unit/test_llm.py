"""Models by name, over real HTTP against the scripted provider: what they send, what each failure is sorted into."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic_ai import RunContext, UsageLimits, capture_run_messages
from pydantic_ai.exceptions import ModelAPIError, RunTimedOut, UserError
from pydantic_ai.messages import AgentStreamEvent, ModelResponse, PartDeltaEvent
from support.agent_context import agent_context
from support.loopback import Loopback, bind
from support.model_server import model_server, script

from app.agents.context import AgentContext
from app.agents.failures import Permanent, classify
from app.agents.llm import ModelOptions, ModelSource, before_sending
from app.agents.prices import price_known
from app.agents.registry import AgentRegistry
from app.models.errors import LeaseLost, NotFound, SettingError, Transient

REGISTRY = AgentRegistry()


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with model_server() as running:
        yield running


def options(server: Loopback, **more: Any) -> ModelOptions:
    return ModelOptions(
        openai_api_key="key",
        openai_base_url=f"{server.url}/v1",
        anthropic_api_key="key",
        anthropic_base_url=server.url,
        ollama_base_url=f"{server.url}/v1",
        **more,
    )


async def run(source: ModelSource, prompt: str, *, model: str, stream: bool = False, **more: Any) -> Any:
    """One run of the assistant; with `stream` the model is asked for a stream. Gives the result and the deltas."""
    agent = REGISTRY.build(REGISTRY.get("assistant"), REGISTRY.pattern("chatbot"), model=source.resolve(model))
    deltas: list[AgentStreamEvent] = []

    async def listen(_ctx: RunContext[AgentContext], events: Any) -> None:
        deltas.extend([event async for event in events if isinstance(event, PartDeltaEvent)])

    handler = listen if stream else None
    result = await agent.run(prompt, deps=agent_context(), event_stream_handler=handler, **more)
    return result, deltas


@pytest.fixture
async def source(server: Loopback) -> AsyncIterator[ModelSource]:
    opened = ModelSource(options(server, read_timeout=5.0))
    yield opened
    await opened.aclose()


@pytest.mark.parametrize("model", ["openai:m", "openai-chat:m", "ollama:m", "anthropic:m"])
@pytest.mark.parametrize("stream", [False, True])
async def test_talks_calls_tools_and_counts(source: ModelSource, model: str, stream: bool) -> None:
    tools = {"tools": [{"name": "calculator", "args": {"expression": "6*7"}}, {"name": "current_time", "args": {}}]}
    result, deltas = await run(source, script(tools, {"text": "It is 42, my friend."}), model=model, stream=stream)
    assert result.output == "It is 42, my friend."
    returns = [part for message in result.all_messages() for part in message.parts if part.part_kind == "tool-return"]
    assert returns[0].content == "42"
    assert returns[1].content["weekday"] == "Friday"
    assert (result.usage.requests, result.usage.tool_calls) == (2, 2)
    assert result.usage.output_tokens > 0
    assert result.usage.cost is None
    assert bool(deltas) == stream


NO_QUOTA = {"code": "insufficient_quota", "type": "insufficient_quota"}
FAULTS = [
    ({"status": 429, "retry_after": 7}, "model_rate_limited", True),
    ({"status": 500}, "model_server_error", True),
    ({"status": 503}, "model_unavailable", True),
    ({"status": 529}, "model_unavailable", True),
    (
        {"status": 429, "error": NO_QUOTA},
        "model_quota_exhausted",
        False,
    ),
    ({"status": 401}, "model_auth_failed", False),
    ({"status": 403}, "model_auth_failed", False),
    ({"status": 404}, "model_not_found", False),
    ({"status": 400, "error": {"code": "context_length_exceeded"}}, "context_too_long", False),
    ({"status": 400}, "model_request_rejected", False),
    ({"text": "one two three four", "cut_after_chunks": 2}, "model_unreachable", True),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fault", "code", "transient"), FAULTS)
async def test_sorts_failures(
    source: ModelSource, server: Loopback, fault: dict[str, Any], code: str, transient: bool, stream: bool
) -> None:
    server.reset()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it must be sorted
        await run(source, script(fault), model="openai:m", stream=stream)
    found = classify(caught.value, "openai:m")
    assert found.code == code, caught.value
    assert isinstance(found, Transient) == transient
    if "retry_after" in fault:
        assert isinstance(found, Transient)
        assert found.retry_after == 7
    assert len(server.log()) == 1, "the client must not retry by itself"


async def test_sorts_silence_and_absence(server: Loopback) -> None:
    free = bind()
    dead = ModelOptions(openai_api_key="k", openai_base_url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")
    free.close()
    slow = options(server, read_timeout=0.3)
    for given, code in ((dead, "model_unreachable"), (slow, "model_timeout")):
        source = ModelSource(given)
        with pytest.raises(Exception) as caught:  # noqa: PT011
            await run(source, script({"text": "late", "hold_s": 10}, mark=code), model="openai:m")
        await source.aclose()
        found = classify(caught.value)
        assert isinstance(found, Transient)
        assert found.code == code
    server.release()


@pytest.mark.parametrize(
    ("steps", "limits", "code"),
    [
        ([{"bad_args": {"name": "calculator"}}] * 5, {}, "model_misbehaved"),
        ([{"loop_tool": {"name": "current_time", "args": {}}}], {"request_limit": 4}, "limit_steps"),
        ([{"loop_tool": {"name": "current_time", "args": {}}}], {"tool_calls_limit": 3}, "limit_tool_calls"),
        ([{"text": "word " * 200}], {"total_tokens_limit": 20}, "limit_tokens"),
    ],
)
async def test_sorts_runaways(source: ModelSource, steps: list[Any], limits: dict[str, Any], code: str) -> None:
    usage_limits = UsageLimits(**{"request_limit": 20, **limits})
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await run(source, script(*steps), model="openai:m", usage_limits=usage_limits)
    found = classify(caught.value)
    assert isinstance(found, Permanent)
    assert found.code == code
    assert len(found.detail) > 20


async def test_bad_arguments_once_are_corrected(source: ModelSource) -> None:
    prompt = script({"bad_args": {"name": "calculator", "raw": '{"wrong": 1}'}}, {"text": "sorry"})
    result, _ = await run(source, prompt, model="openai:m")
    assert result.output == "sorry"


async def test_falls_back_and_says_which_model_answered(server: Loopback) -> None:
    fallback = ModelSource(options(server, fallback_models=("openai-chat:second", "anthropic:third")))
    prompt = script({"status": 500, "times": 2, "text": "made it"}, mark="fall")
    with capture_run_messages() as messages:
        result, _ = await run(fallback, prompt, model="openai:first")
    answered = messages[-1]
    assert isinstance(answered, ModelResponse)
    assert (result.output, answered.model_name) == ("made it", "third")
    assert [entry["model"] for entry in server.log() if entry["marker"] == "fall"] == ["first", "second", "third"]
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await run(fallback, script({"status": 500}, {}), model="openai:first")
    assert isinstance(classify(caught.value), Transient)
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await run(fallback, script({"status": 401}), model="openai:first")
    assert classify(caught.value).code == "model_auth_failed"
    await fallback.aclose()


def test_the_rest_is_sorted_too() -> None:
    cases: list[tuple[BaseException, str]] = [
        (SettingError("OPENAI_API_KEY is not set"), "model_not_configured"),
        (NotFound("no agent", code="agent_not_found"), "agent_not_found"),
        (UserError("no"), "agent_invalid"),
        (KeyError("x"), "internal_error"),
        (RunTimedOut("late"), "limit_seconds"),
        (ConnectionResetError(), "connection_lost"),
    ]
    assert [classify(error).code for error, _ in cases] == [code for _, code in cases]
    again = Transient("later", code="x", retry_after=1)
    assert classify(again) is again
    assert "ANTHROPIC_API_KEY" not in classify(KeyError("x")).detail


@pytest.mark.parametrize(
    ("given", "model", "because"),
    [
        ({}, "demo", "no model is configured"),
        ({"openai_api_key": "k"}, "openai:gpt-6.1-sol", "OPENAI_API_KEY"),
        ({"anthropic_api_key": "k"}, "anthropic:claude-sonnet-5-5", "ANTHROPIC_API_KEY"),
        ({"anthropic_api_key": "k", "default_model": "ollama:x"}, "ollama:x", "DEFAULT_MODEL"),
        ({"openai_api_key": "k", "demo": True}, "demo", "--demo"),
    ],
)
def test_the_default_model_and_what_chose_it(given: dict[str, Any], model: str, because: str) -> None:
    chosen = ModelSource(ModelOptions(**given)).default
    assert (chosen.model, chosen.because) == (model, because)


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai:m", "OPENAI_API_KEY"),
        ("anthropic:m", "ANTHROPIC_API_KEY"),
        ("ollama:m", "OLLAMA_BASE_URL"),
        ("gpt-6", "provider:name"),
        ("openai:", "provider:name"),
        ("cloud:m", "provider:name"),
    ],
)
def test_names_what_is_missing(name: str, variable: str) -> None:
    with pytest.raises(SettingError, match=variable):
        ModelSource(ModelOptions()).check(name)


def test_plain_openai_means_responses_only_at_openai() -> None:
    at_openai = ModelSource(ModelOptions(openai_api_key="k"))
    elsewhere = ModelSource(ModelOptions(openai_base_url="http://127.0.0.1:1/v1"))
    assert type(at_openai.resolve("openai:m")).__name__ == "OpenAIResponsesModel"
    assert type(elsewhere.resolve("openai:m")).__name__ == "OpenAIChatModel"
    assert type(elsewhere.resolve("openai-responses:m")).__name__ == "OpenAIResponsesModel"


def test_demo_stands_alone() -> None:
    with pytest.raises(SettingError, match="SIXLANE_FALLBACK_MODELS"):
        ModelSource(ModelOptions(openai_api_key="k", fallback_models=("demo",))).resolve()
    demo = ModelSource(ModelOptions(openai_api_key="k", demo=True, fallback_models=("openai:m",)))
    assert demo.resolve("openai:m").model_name == "demo"
    assert demo.name("openai:m") == "demo"


def test_knows_prices() -> None:
    assert price_known("openai:gpt-6.1-sol")
    assert price_known("anthropic:claude-sonnet-5-5")
    assert not any(map(price_known, ["demo", "ollama:llama", "openai:unheard-of", "openai:", "x"]))


@pytest.mark.parametrize("model", ["openai:gpt-5", "anthropic:claude-sonnet-5"])
async def test_the_last_look_is_taken_when_the_connection_stands_and_nothing_is_sent(model: str) -> None:
    connected, received = asyncio.Event(), asyncio.Queue[bytes]()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        received.put_nowait(await reader.read())
        writer.close()

    async def look() -> None:
        await asyncio.wait_for(connected.wait(), 5)
        raise LeaseLost

    there = await asyncio.start_server(listen, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{there.sockets[0].getsockname()[1]}"
    source = ModelSource(
        ModelOptions(openai_api_key="k", openai_base_url=f"{base}/v1", anthropic_api_key="k", anthropic_base_url=base)
    )
    token = before_sending.set(look)
    try:
        async with there:
            with pytest.raises((LeaseLost, ModelAPIError)):  # Anthropic's client wraps it
                await run(source, "Hello", model=model)
            assert await asyncio.wait_for(received.get(), 5) == b""
    finally:
        before_sending.reset(token)
        await source.aclose()
