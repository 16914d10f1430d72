"""The tool `http_post`: it tells whether the effect happened, did not, or may have."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic_ai import Agent, ModelRetry, RunContext, ToolFailed
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage
from support.agent_context import agent_context
from support.loopback import Loopback, bind
from support.receiver import receiver

from app.agents import policy
from app.agents.context import AgentContext, Target
from app.agents.tool import OutcomeUnknown
from app.agents.tools import http_post
from app.models.errors import Transient


def running(context: AgentContext, call_id: str = "call-1") -> RunContext[AgentContext]:
    return RunContext(deps=context, model=TestModel(), usage=RunUsage(), tool_call_id=call_id)


def posting(sink: Loopback, query: str = "", **options: Any) -> AgentContext:
    target = Target("crm", f"{sink.url}/in?{query}", **options)
    return agent_context(targets=(target,), allow_hosts=(sink.url.removeprefix("http://"),))


@pytest.fixture
def sink() -> Iterator[Loopback]:
    with receiver() as running_receiver:
        yield running_receiver


async def test_http_post_sends_with_a_stable_key(sink: Loopback) -> None:
    context = posting(sink)
    answer = await http_post.http_post(running(context, "c1"), "crm", {"text": "MARK: p1 \ud83d\x00"})
    assert answer["status"] == 200
    assert answer["body"]["taken"] is True
    await http_post.http_post(running(context, "c1"), "crm", {})
    await http_post.http_post(running(context, "c\r\nX-Evil: 1"), "crm", {})
    keys = [entry["key"] for entry in sink.log()]
    assert keys[0] == keys[1] == f"{context.run_id}:1:c1"
    assert len(keys[2]) == 64
    assert sink.log()[0]["marker"] == "p1"


@pytest.mark.parametrize(
    ("query", "idempotent", "outcome"),
    [
        ("status=422", False, ToolFailed),
        ("status=500", False, ToolFailed),
        ("status=503", False, ToolFailed),
        ("status=504", False, OutcomeUnknown),
        ("status=502", False, OutcomeUnknown),
        ("status=503", True, Transient),
        ("status=429", True, Transient),
        ("status=400", True, ToolFailed),
        ("cut=1", False, OutcomeUnknown),
        ("cut=1", True, Transient),
    ],
)
async def test_http_post_tells_what_became_of_it(
    sink: Loopback, query: str, idempotent: bool, outcome: type[Exception]
) -> None:
    with pytest.raises(outcome):
        await http_post.http_post(running(posting(sink, query, idempotent=idempotent)), "crm", {})
    assert len(sink.log()) == 1


async def test_http_post_knows_when_nothing_was_sent() -> None:
    free = bind()
    dead = f"127.0.0.1:{free.getsockname()[1]}"
    free.close()
    targets = (Target("dead", f"http://{dead}/"), Target("inside", "https://10.0.0.1/"))
    ctx = running(agent_context(targets=targets, allow_hosts=(dead,)))
    for name in ("dead", "inside"):
        with pytest.raises(ToolFailed, match="Nothing was sent"):
            await http_post.http_post(ctx, name, {})
    with pytest.raises(ModelRetry, match="dead, inside"):
        await http_post.http_post(ctx, "https://evil.example/", {})
    with pytest.raises(ModelRetry):
        await http_post.http_post(ctx, "dead", {"n": float("nan")})
    with pytest.raises(ModelRetry):
        await http_post.http_post(ctx, "dead", {"n": "x" * 300_000})


def test_http_post_policy_and_repeatability_come_from_the_target() -> None:
    targets = (Target("a", "https://a.example/", "allow", idempotent=True), Target("b", "https://b.example/"))
    context = agent_context(targets=targets)
    assert policy.of_post(context, "a").policy == "allow"
    assert policy.of_post(context, "b").policy == "ask"
    assert http_post.TOOL.repeatable(context, {"target": "a"})
    assert not http_post.TOOL.repeatable(context, {"target": "b"})
    assert http_post.TOOL.effect == "write"


async def test_http_post_is_offered_with_the_names_of_the_targets() -> None:
    model = TestModel(call_tools=[])
    agent = Agent(model, deps_type=AgentContext, tools=[http_post.TOOL.tool])
    await agent.run("x", deps=agent_context())
    assert model.last_model_request_parameters is not None
    assert model.last_model_request_parameters.function_tools == []
    await agent.run("x", deps=agent_context(targets=(Target("crm", "https://a.example/"),)))
    (offered,) = model.last_model_request_parameters.function_tools
    assert offered.parameters_json_schema["properties"]["target"]["enum"] == ["crm"]
