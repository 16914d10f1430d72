"""Agents of the operator's own: plain Pydantic AI agents, loaded at start, run under the ledger like all others.

    from pydantic_ai import Agent
    from app.agents.own import effect

    agent = Agent(name="clerk", instructions="…")

    @agent.tool_plain
    @effect(approval="ask")
    def pay(invoice: str) -> str: ...

A tool that is marked with `effect` changes something outside: it is journaled before and after, asked about as said,
and never repeated blindly. Tools without the mark are reads and may run again. A tool that takes a `RunContext` finds
an `AgentContext` in `deps`.
"""

import hashlib
import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic_ai import Agent, DeferredToolRequests, Tool
from pydantic_ai.models import Model
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset

from app.agents.context import AgentContext, Policy
from app.agents.definition import AgentDefinition
from app.agents.tool import Arguments, ToolSpec
from app.models.agent import AGENT_NAME, USUAL_OVERRIDES
from app.models.errors import SettingError

VARIABLE = "SIXLANE_AGENTS"

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "__sixlane_effect__"
_KEY = "sixlane.effect"
_KNOWN = "sixlane.known"


def effect(*, approval: Literal["ask", "allow"] = "ask", idempotent: bool = False) -> Callable[[Function], Function]:
    """Mark a tool's function: it changes something outside the run.

    With `approval="ask"` a person agrees to each call first. `idempotent` says that the far end honours the key
    `ctx.deps.effect_key(ctx.tool_call_id)`, so that a call whose outcome is unknown may be sent again; without it a
    person is asked what happened.
    """

    def mark(function: Function) -> Function:
        setattr(function, _MARK, {"approval": approval, "idempotent": idempotent})
        return function

    return mark


@dataclass(frozen=True)
class OwnAgent:
    """An agent of the operator's code: how it is known here, and the agent itself."""

    definition: AgentDefinition
    agent: Agent[Any, Any]
    tools: Mapping[str, Tool[Any]]

    @property
    def output(self) -> Sequence[Any] | None:
        """Its kinds of output with the one by which a run waits; None where it has that already."""
        kinds = _kinds(self.agent)
        return None if DeferredToolRequests in kinds else [*kinds, DeferredToolRequests]


def spec_of(definition: ToolDefinition) -> ToolSpec:
    """What the ledger needs to know of a tool of such an agent, by the marks that it carries."""
    about: Mapping[str, Any] = definition.metadata or {}
    schema = definition.parameters_json_schema
    tool = Tool[AgentContext].from_schema(_not_called, definition.name, definition.description, schema)
    found = about.get(_KEY)
    if found is None:
        # Where it came from is not known here, as of another server's tools: so may be what it says.
        return ToolSpec(tool=tool, scope="A tool of the operator's own.", taints=_KNOWN not in about)
    return ToolSpec(
        tool=tool,
        scope="A tool of the operator's own that changes something outside.",
        effect="write",
        policy=partial(_ruling, "allow" if found.get("approval") == "allow" else "ask"),
        repeatable=partial(_repeatable, bool(found.get("idempotent"))),
    )


def _ruling(said: Policy, _context: AgentContext, _arguments: Arguments) -> Policy:
    return said


def _repeatable(said: bool, _context: AgentContext, _arguments: Arguments) -> bool:
    return said


async def _not_called(**_arguments: Any) -> None:
    raise AssertionError("the agent's own toolset carries out its tools")


def load(sources: Iterable[str]) -> list[OwnAgent]:
    """The agents that `module:attribute` or a Python file (`file.py`, `file.py:attribute`) names.

    The attribute is an Agent, or a list, tuple or dict of them; of a file without one it is `agents`, else every
    agent in it. Raises SettingError naming what cannot be loaded.
    """
    found: dict[str, OwnAgent] = {}
    for source in sources:
        for name, agent in _agents_of(source, *_module_of(source)):
            if name in found:
                raise _refused(source, f"two agents are called {name!r}")
            found[name] = _own(source, name, agent)
    return list(found.values())


def _refused(source: str, why: str) -> SettingError:
    return SettingError(f"{VARIABLE}: {source}: {why}.")


def _module_of(source: str) -> tuple[Any, str | None]:
    place, _, attribute = source.partition(":")
    if re.fullmatch(r"[A-Za-z]", place):  # a drive, as in C:\agents.py
        place, _, attribute = source.rpartition(":") if source.count(":") > 1 else (source, "", "")
    try:
        if place.endswith(".py"):
            return _module_in(source, Path(place).expanduser().absolute()), attribute or None
        if not attribute:
            raise _refused(source, "write it as module:attribute, or as the path of a .py file")
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(place), attribute
    except SettingError:
        raise
    except Exception as error:
        raise _refused(source, f"{place} cannot be loaded: {type(error).__name__}: {error}") from error


def _module_in(source: str, path: Path) -> Any:
    if not path.is_file():
        raise _refused(source, f"there is no file {path}")
    name = f"sixlane_own_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _agents_of(source: str, module: Any, attribute: str | None) -> list[tuple[str, Agent[Any, Any]]]:
    if attribute is None:
        values = cast("Mapping[str, Any]", vars(module)).values()
        every: dict[int, Any] = {id(value): value for value in values if _is_agent(value)}
        held: Any = getattr(module, "agents", list(every.values()))
    elif not hasattr(module, attribute):
        raise _refused(source, f"it has no attribute {attribute!r}")
    else:
        held = getattr(module, attribute)
    named: list[tuple[Any, Any]]
    if isinstance(held, Agent):
        named = [(held.name, held)]
    elif isinstance(held, Mapping):
        named = list(cast("Mapping[Any, Any]", held).items())
    elif isinstance(held, list | tuple):
        named = [(getattr(one, "name", None), one) for one in cast("Sequence[Any]", held)]
    else:
        raise _refused(source, "the attribute is no Agent, and no list, tuple or dict of agents")
    if not named:
        raise _refused(source, "there is no agent in it")
    for name, agent in named:
        if not isinstance(agent, Agent):
            raise _refused(source, f"{name!r} is no pydantic_ai.Agent but {type(agent).__name__}")
        if not isinstance(name, str) or not re.fullmatch(AGENT_NAME, name):
            raise _refused(
                source, f"the agent's name is {name!r}; give it one of a-z, 0-9, - and _, as in name='clerk'"
            )
    return cast("list[tuple[str, Agent[Any, Any]]]", named)


def _is_agent(value: Any) -> bool:
    return isinstance(value, Agent)


def _own(source: str, name: str, agent: Agent[Any, Any]) -> OwnAgent:
    kinds = _kinds(agent)
    if DeferredToolRequests not in kinds and getattr(agent, "_output_validators", None):
        raise _refused(source, f"the agent {name} has output validators; add DeferredToolRequests to its output_type")
    tools = _marked(agent)
    model = agent.model
    return OwnAgent(
        AgentDefinition(
            name=name,
            description=getattr(agent, "description", None) or "",
            instructions=_instructions(agent),
            model=model if isinstance(model, str) else model_name(agent),
            tools=tuple(tools),
            overrides=USUAL_OVERRIDES,
            code=_code(tools),
        ),
        agent,
        tools,
    )


def model_name(agent: Agent[Any, Any]) -> str | None:
    """The name under which runs of the agent show a model that it brings along; None where it brings none."""
    model = agent.model
    if model is None or isinstance(model, str):
        return None
    return f"{model.system}:{model.model_name}"


def brought_models(agents: Iterable[OwnAgent]) -> list[tuple[str, Model]]:
    """The models that these agents bring along, by name."""
    brought = [(model_name(one.agent), one.agent.model) for one in agents]
    return [(name, model) for name, model in brought if name is not None and isinstance(model, Model)]


def _kinds(agent: Agent[Any, Any]) -> list[Any]:
    kinds: Any = agent.output_type
    return list(cast("Sequence[Any]", kinds)) if isinstance(kinds, list | tuple) else [kinds]


def _instructions(agent: Agent[Any, Any]) -> str:
    """What of its instructions is plain text."""
    parts: Iterable[Any] = [*getattr(agent, "_system_prompts", ()), *getattr(agent, "_instructions", ())]
    texts = [getattr(part, "instruction", part) for part in parts]
    return "\n\n".join(text for text in texts if isinstance(text, str))


def _marked(agent: Agent[Any, Any]) -> dict[str, Tool[Any]]:
    """The agent's function tools by name, each carrying what its function's mark says to wherever it is renamed."""
    found: dict[str, Tool[Any]] = {}

    def mark(leaf: AbstractToolset[Any]) -> None:
        if not isinstance(leaf, FunctionToolset):
            return
        for tool in leaf.tools.values():
            said = getattr(tool.function, _MARK, None)
            if said is None and tool.requires_approval:
                said = {"approval": "ask", "idempotent": False}
            tool.requires_approval = False  # it is asked about here, with the arguments as they were checked
            tool.metadata = {**(tool.metadata or {}), _KNOWN: True, **({_KEY: said} if said else {})}
            found[tool.name] = tool

    for toolset in agent.toolsets:
        toolset.apply(mark)
    return found


def _code(tools: Mapping[str, Tool[Any]]) -> str:
    schemas = {name: [tool.description, tool.function_schema.json_schema] for name, tool in tools.items()}
    return hashlib.sha256(json.dumps(schemas, sort_keys=True, default=str).encode()).hexdigest()[:12]
