"""The operator's own agents: loaded from where a setting says, with the marks of their tools."""

from pathlib import Path

import pytest
from pydantic_ai import DeferredToolRequests
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import ToolDefinition
from support.agent_context import agent_context

from app.agents.llm import ModelOptions, ModelSource
from app.agents.own import brought_models, load, spec_of
from app.agents.registry import AgentRegistry
from app.models.errors import InvalidInput, SettingError

EXAMPLE = Path(__file__).parents[1] / "support" / "own_agents.py"


def test_an_agent_in_a_file_is_known_with_its_tools() -> None:
    (own,) = load([str(EXAMPLE)])
    definition = own.definition
    assert (definition.name, definition.tools, definition.model) == ("clerk", ("balance", "remind"), None)
    assert "Remind customers" in definition.instructions
    (same,) = load([f"{EXAMPLE}:clerk"])
    assert same.definition.version == definition.version
    registry = AgentRegistry(own=[own])
    assert (registry.source("clerk"), registry.source("assistant")) == ("operator", "built_in")
    assert registry.check_arguments("remind", {"customer": "Ada"}) == {"customer": "Ada"}
    with pytest.raises(InvalidInput, match="customer"):
        registry.check_arguments("remind", {"customer": 1})
    with pytest.raises(SettingError, match="'clerk' is taken"):
        AgentRegistry([definition.model_copy(update={"tools": ()})], own=[own])


async def test_marks_go_with_a_tool_to_wherever_it_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from pydantic_ai import Agent, FunctionToolset, Tool\n"
        "from app.agents.own import effect\n"
        "@effect(approval='allow', idempotent=True)\n"
        "def pay() -> str: return 'paid'\n"
        "def look() -> str: return 'seen'\n"
        "till = FunctionToolset([pay, look, Tool(lambda: 'x', name='ask', requires_approval=True)]).prefixed('till')\n"
        "agents = {'shop': Agent(toolsets=[till])}\n"
    )
    (own,) = load([str(tmp_path / "mine.py")])
    tools = {name: tool.tool_def for name, tool in own.tools.items()}
    context = agent_context()
    pay, look, ask = (spec_of(tools[name]) for name in ("pay", "look", "ask"))
    assert (pay.effect, pay.policy(context, {}), pay.repeatable(context, {})) == ("write", "allow", True)
    assert (look.effect, look.taints) == ("read", False)
    assert (ask.effect, ask.policy(context, {}), ask.repeatable(context, {})) == ("write", "ask", False)
    assert spec_of(ToolDefinition(name="theirs")).taints


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("nowhere.agents:agents", "nowhere.agents cannot be loaded: ModuleNotFoundError"),
        ("support.own_agents", "module:attribute"),
        ("support.own_agents:nothing", "no attribute 'nothing'"),
        ("support.own_agents:balance", "no Agent, and no list"),
        ("/nowhere/mine.py", "there is no file /nowhere/mine.py"),
    ],
)
def test_what_cannot_be_loaded_is_named(source: str, why: str) -> None:
    with pytest.raises(SettingError) as refused:
        load([source])
    assert str(refused.value).startswith(f"SIXLANE_AGENTS: {source}: ")
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("agents = []", "no agent in it"),
        ("from pydantic_ai import Agent\nagents = [Agent()]", "the agent's name is None"),
        ("from pydantic_ai import Agent\nagents = {'Big Name': Agent()}", "'Big Name'"),
        ("agents = {'clerk': 7}", "'clerk' is no pydantic_ai.Agent but int"),
    ],
)
def test_files_that_hold_no_agent(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(SettingError) as refused:
        load([str(tmp_path / "mine.py")])
    assert why in str(refused.value)


def test_a_model_that_an_agent_brings_and_its_kind_of_answer(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from pydantic import BaseModel\nfrom pydantic_ai import Agent\nfrom pydantic_ai.models.test import TestModel\n"
        "class Sum(BaseModel):\n    euros: int\n"
        "one = Agent(TestModel(), name='one', output_type=Sum)\n"
        "two = Agent('openai:x', name='two', defer_model_check=True)\n"
    )
    one, two = load([str(tmp_path / "mine.py")])
    assert one.output is not None
    assert one.output[-1] is DeferredToolRequests
    assert two.definition.model == "openai:x"
    models = ModelSource(ModelOptions())
    for name, model in brought_models([one, two]):
        models.know(name, model)
    assert isinstance(models.resolve(one.definition.model), TestModel)


@pytest.mark.parametrize("page", ["README.md", "docs/own-agents.md"])
def test_the_example_that_is_shown_is_the_one_that_is_tried(page: str) -> None:
    shown = (EXAMPLE.parents[2] / page).read_text()
    code = EXAMPLE.read_text().partition('"""\n\n')[2].strip()
    assert f"```python\n{code}\n```" in shown
