"""Agents by name: their definitions, versions, and how one is built for a run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pydantic_core
from pydantic import ValidationError
from pydantic_ai import Agent, DeferredToolRequests, StructuredDict, Tool
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.models import Model
from pydantic_ai.toolsets import FunctionToolset

from app.agents.built_in import BUILT_IN
from app.agents.context import AgentContext
from app.agents.definition import RESERVED_NAMES, AgentDefinition
from app.agents.own import VARIABLE, OwnAgent
from app.agents.pattern import Pattern
from app.agents.patterns import PATTERNS
from app.agents.schemas import check_schema
from app.agents.servers import VARIABLE as SERVERS
from app.agents.servers import McpServer
from app.agents.text import clean
from app.agents.tool import ToolSpec
from app.agents.tools import TOOLS
from app.models.agent import AgentSource
from app.models.errors import InvalidInput, NotFound, SettingError

_RETRIES = 2
_MOST_BUILT = 256


class AgentRegistry:
    """Every agent, pattern and tool of the process. Toolsets and output types are built once and shared by runs."""

    def __init__(
        self,
        definitions: Iterable[AgentDefinition] = BUILT_IN,
        *,
        patterns: Sequence[Pattern] = PATTERNS,
        tools: Sequence[ToolSpec] = TOOLS,
        own: Sequence[OwnAgent] = (),
        servers: Mapping[str, McpServer] | None = None,
    ) -> None:
        self._patterns = {pattern.name: pattern for pattern in patterns}
        self._tools = {spec.name: spec for spec in tools}
        self._agents = {definition.name: definition for definition in definitions}
        self._toolsets: dict[tuple[str, ...], FunctionToolset[AgentContext]] = {}
        self._built: dict[tuple[str, str, str], Agent[AgentContext, Any]] = {}
        self._outputs: dict[str, Sequence[Any]] = {}
        for definition in self._agents.values():
            self.check(definition)
        self.servers: Mapping[str, McpServer] = servers or {}
        for name in self.servers:
            if self.shadows(name):
                raise SettingError(f"{SERVERS}: the name {name!r} is taken by tools of our own; call it otherwise.")
        self._own = {one.definition.name: one for one in own}
        for name in self._own:
            if name in self._agents or name in RESERVED_NAMES:
                raise SettingError(f"{VARIABLE}: the name {name!r} is taken; call the agent otherwise.")
        self._agents |= {name: one.definition for name, one in self._own.items()}

    def list(self) -> Sequence[AgentDefinition]:
        """All agents, by name."""
        return [self._agents[name] for name in sorted(self._agents)]

    def get(self, name: str) -> AgentDefinition:
        """The server's agent of that name; raises `NotFound`."""
        if name not in self._agents:
            raise NotFound(f"There is no agent {name!r}.", code="agent_not_found")
        return self._agents[name]

    def known(self, name: str) -> AgentDefinition | None:
        """The server's agent of that name, if it has one; a workspace may have others."""
        return self._agents.get(name)

    def source(self, name: str) -> AgentSource:
        """Whose agent that is."""
        if name in self._own:
            return "operator"
        return "built_in" if name in self._agents else "workspace"

    def own(self, name: str) -> OwnAgent | None:
        """The agent of the operator's code of that name."""
        return self._own.get(name)

    def specs(self, definition: AgentDefinition) -> dict[str, ToolSpec]:
        """The server's tools that the agent has, by name; tools of own agents tell about themselves."""
        if definition.name in self._own:
            return {}
        return {name: self._tools[name] for name in definition.tools if name in self._tools}

    def patterns(self) -> Sequence[Pattern]:
        """All patterns."""
        return list(self._patterns.values())

    def pattern(self, name: str) -> Pattern:
        """The pattern of that name; raises `InvalidInput` naming those that there are."""
        if name not in self._patterns:
            known = ", ".join(self._patterns)
            raise InvalidInput(f"There is no pattern {name!r}; there are: {known}.", code="unknown_pattern")
        return self._patterns[name]

    def tools(self) -> Sequence[ToolSpec]:
        """All tools."""
        return list(self._tools.values())

    def tool(self, name: str) -> ToolSpec | None:
        """The tool of that name."""
        return self._tools.get(name)

    def shadows(self, server: str) -> bool:
        """Whether tools of a server of this name could be taken for tools of our own."""
        return any(name.startswith(f"{server}_") for name in self._tools)

    def check_arguments(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the tool takes them, defaults filled in, as JSON data. Raises InvalidInput."""
        found = self._tools[tool].tool if tool in self._tools else self._own_tool(tool)
        if found is None:
            raise InvalidInput(f"body.arguments: the tool {tool!r} is not there any more.", code="unknown_tool")
        try:
            taken = found.function_schema.validator.validate_python(dict(arguments))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            at = ".".join(str(part) for part in first["loc"])
            raise InvalidInput(f"body.arguments.{at}: {first['msg']}", code="arguments_do_not_fit") from None
        return clean(pydantic_core.to_jsonable_python(taken, serialize_unknown=True))

    def _own_tool(self, name: str) -> Tool[Any] | None:
        return next((one.tools[name] for one in self._own.values() if name in one.tools), None)

    def check(self, definition: AgentDefinition) -> None:
        """Refuse a definition that could not be built: reserved name, unknown tool, unusable schema."""
        if definition.name in RESERVED_NAMES:
            raise InvalidInput(f"The agent name {definition.name!r} is reserved.", code="reserved_name")
        unknown = [name for name in definition.tools if name not in self._tools]
        if unknown:
            raise InvalidInput(f"There is no tool {unknown[0]!r}.", code="unknown_tool")
        if len(set(definition.tools)) != len(definition.tools):
            raise InvalidInput("tools: a tool is named twice.", code="duplicate_tool")
        self._output(definition)

    def build(
        self,
        definition: AgentDefinition,
        pattern: Pattern,
        *,
        model: Model,
        capabilities: Sequence[AbstractCapability[AgentContext]] = (),
    ) -> Agent[AgentContext, Any]:
        """An agent for runs. Its output is text, data of the schema, or `DeferredToolRequests` to be decided.

        It holds nothing of a run, so runs share it; with `capabilities` it is made for one. An agent of the operator's
        own is given as it is.
        """
        own = self._own.get(definition.name)
        if own is not None:
            return own.agent
        missing = [name for name in definition.tools if name not in self._tools]
        if missing:
            raise NotFound(f"The agent {definition.name!r} needs the tool {missing[0]!r}, which is not here any more.")
        if capabilities:
            return self._make(definition, pattern, model, capabilities)
        key = (definition.name, definition.version, pattern.name)
        built = self._built.get(key)
        if built is None or built.model is not model:
            if len(self._built) >= _MOST_BUILT:
                self._built.clear()
            built = self._built[key] = self._make(definition, pattern, model, ())
        return built

    def _make(
        self,
        definition: AgentDefinition,
        pattern: Pattern,
        model: Model,
        capabilities: Sequence[AbstractCapability[AgentContext]],
    ) -> Agent[AgentContext, Any]:
        instructions = [part for part in (definition.instructions, pattern.instructions) if part]
        return Agent(
            model,
            name=definition.name,
            deps_type=AgentContext,
            instructions=instructions,
            output_type=self._output(definition),
            retries={"tools": _RETRIES, "output": _RETRIES},
            toolsets=[self._toolset(definition.tools)],
            capabilities=capabilities,
        )

    def _toolset(self, names: tuple[str, ...]) -> FunctionToolset[AgentContext]:
        if names not in self._toolsets:
            if len(self._toolsets) >= _MOST_BUILT:
                self._toolsets.clear()
            tools = [self._tools[name].tool for name in names]
            self._toolsets[names] = FunctionToolset(tools, max_retries=_RETRIES)
        return self._toolsets[names]

    def _output(self, definition: AgentDefinition) -> Sequence[Any]:
        return self.output_of(definition.output_schema)

    def output_of(self, schema: Mapping[str, Any] | None) -> Sequence[Any]:
        """The kinds of output of an agent that answers with such data, or in text. Raises InvalidInput."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._outputs:
            answer: Any = str
            if schema is not None:
                check_schema(schema, "output_schema")
                try:
                    answer = StructuredDict(dict(schema), name="result")
                except Exception as error:
                    raise InvalidInput("output_schema: the schema cannot be given to a model.") from error
            if len(self._outputs) >= _MOST_BUILT:
                self._outputs.clear()
            self._outputs[key] = [answer, DeferredToolRequests]
        return self._outputs[key]
