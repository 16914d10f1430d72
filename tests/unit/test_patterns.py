"""The patterns: complete, registered, and each able to run."""

import importlib
import pkgutil

import pytest
from support.agent_context import agent_context

import app.agents.patterns
from app.agents.llm import ModelOptions, ModelSource
from app.agents.pattern import Pattern
from app.agents.patterns import PATTERNS
from app.agents.registry import AgentRegistry


def test_every_file_is_in_the_tuple() -> None:
    found = {
        importlib.import_module(f"app.agents.patterns.{module.name}").PATTERN.name
        for module in pkgutil.iter_modules(app.agents.patterns.__path__)
    }
    assert found == {pattern.name for pattern in PATTERNS}


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
async def test_every_pattern_is_bounded_and_runs(pattern: Pattern) -> None:
    limits = pattern.limits
    assert None not in (limits.steps, limits.tool_calls, limits.tokens, limits.seconds)
    assert pattern.max_attempts > 1
    assert pattern.description
    registry = AgentRegistry()
    model = ModelSource(ModelOptions()).resolve()
    definition = registry.get(pattern.default_agent)
    result = await registry.build(definition, pattern, model=model).run("What time is it?", deps=agent_context())
    if definition.output_schema is None:
        assert "2026-11-20T12:00:00+00:00" in result.output
    else:
        assert result.output.keys() == definition.output_schema["properties"].keys()
