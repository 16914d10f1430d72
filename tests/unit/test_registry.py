"""Agents, patterns and tools by name."""

import pytest
from pydantic import ValidationError
from support.agent_context import agent_context

from app.agents.built_in import BUILT_IN
from app.agents.definition import AgentDefinition, merge_limits
from app.agents.llm import ModelOptions, ModelSource
from app.agents.patterns import PATTERNS
from app.agents.registry import AgentRegistry
from app.models.errors import InvalidInput, NotFound
from app.models.run import Limits

SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "score": {"type": "integer"}},
    "required": ["title"],
}


def test_built_in_agents_serve_every_pattern() -> None:
    registry = AgentRegistry()
    for pattern in PATTERNS:
        assert registry.get(pattern.default_agent).tools
    assert [agent.name for agent in registry.list()] == sorted(agent.name for agent in BUILT_IN)


def test_unknown_names_are_told() -> None:
    registry = AgentRegistry()
    with pytest.raises(NotFound) as missing:
        registry.get("nobody")
    assert missing.value.code == "agent_not_found"
    with pytest.raises(InvalidInput, match="chatbot, sidekick, delegation"):
        registry.pattern("osmosis")
    assert registry.tool("nothing") is None
    found = registry.tool("calculator")
    assert found is not None
    assert found.name == "calculator"


@pytest.mark.parametrize(
    "definition",
    [
        AgentDefinition(name="run"),
        AgentDefinition(name="x", tools=("nothing",)),
        AgentDefinition(name="x", output_schema={"type": "string"}),
    ],
)
def test_unusable_definitions_are_refused(definition: AgentDefinition) -> None:
    with pytest.raises(InvalidInput):
        AgentRegistry([definition])


@pytest.mark.parametrize("name", ["", "Upper", "a b", "1x", "x" * 65])
def test_names_are_slugs(name: str) -> None:
    with pytest.raises(ValidationError):
        AgentDefinition(name=name)


def test_the_version_follows_the_definition() -> None:
    one = AgentDefinition(name="x", instructions="a", output_schema={"type": "object", "title": "t"})
    same = AgentDefinition.model_validate(one.model_dump())
    other = one.model_copy(update={"instructions": "b"})
    assert one.version == same.version
    assert len(one.version) == 12
    assert AgentDefinition.model_validate(other.model_dump()).version != one.version


def test_limits_are_merged_field_by_field() -> None:
    merged = merge_limits(Limits(steps=3), Limits(steps=9, tokens=5), Limits(seconds=1.5))
    assert merged == Limits(steps=3, tokens=5, seconds=1.5)


async def test_builds_agents_that_share_toolsets_and_answer() -> None:
    registry = AgentRegistry([*BUILT_IN, AgentDefinition(name="reporter", output_schema=SCHEMA)])
    source = ModelSource(ModelOptions())
    chat = registry.pattern("chatbot")
    one = registry.build(registry.get("assistant"), chat, model=source.resolve())
    two = registry.build(registry.get("assistant"), chat, model=source.resolve())
    assert one.toolsets[-1] is two.toolsets[-1]
    result = await one.run("What is 6 * 7?", deps=agent_context())
    assert "42" in result.output
    reporter = registry.build(registry.get("reporter"), chat, model=source.resolve())
    report = await reporter.run("Report on the weather", deps=agent_context())
    assert report.output["title"].startswith("Demo model")
