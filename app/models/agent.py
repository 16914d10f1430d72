"""What agents are made of, how clients define them, and how they are shown."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.models.run import Limits, LimitsIn
from app.models.wire import AgentName, Inbound, JsonObject, ModelName, Outbound

AGENT_NAME = r"^[a-z][a-z0-9_-]{0,63}$"
ToolPolicy = Literal["allow", "ask", "deny"]
AgentSource = Literal["built_in", "operator", "workspace"]
Override = Literal["model", "temperature", "top_p", "max_tokens", "seed", "thinking", "instructions_append"]
"""What a message or a task may say otherwise than its agent, where the agent lists it."""

USUAL_OVERRIDES: tuple[Override, ...] = ("model", "temperature", "top_p", "max_tokens", "seed", "thinking")
"""What may be said otherwise of agents whose author did not think about it."""

MemoryScope = Literal["off", "user", "agent"]
"""Whether an agent is given notes at the beginning of a run: none, the user's, or those that it kept itself."""


class ContextPolicy(BaseModel):
    """What of a conversation an agent is sent. The log itself stays whole.

    `full` sends everything; `window` the newest messages; `summarise` a summary of the older ones and the newer
    ones as they are. `window_tokens` is the size of the model's window, where it is not known by the model's name;
    `keep_messages` the most messages that are sent as they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: Literal["full", "window", "summarise"] = "summarise"
    window_tokens: int | None = Field(default=None, ge=500, le=100_000_000, examples=[None])
    keep_messages: int | None = Field(default=None, ge=1, le=100_000, examples=[None])


class ModelTuning(BaseModel):
    """How a model answers; what is null is left to the provider."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(default=None, examples=[None])
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(default=None, examples=[None])
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(default=None, examples=[None])
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(default=None, examples=[None])
    thinking: Literal["minimal", "low", "medium", "high"] | None = Field(default=None, examples=[None])


class Overrides(ModelTuning):
    """What a message or a task says otherwise than its agent; each field only where the agent allows it.

    `instructions_append` is read by the model after the agent's own instructions.
    """

    model: ModelName | None = Field(default=None, examples=[None])
    instructions_append: Annotated[str, StringConstraints(min_length=1, max_length=20_000)] | None = Field(
        default=None, examples=[None]
    )


class McpSource(BaseModel):
    """A server of tools: one that the operator has configured under this name, or the one at `url`.

    The model sees its tools as `<name>_<tool>`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,31}$", examples=["docs"])]
    url: Annotated[str, Field(min_length=1, max_length=2000)] | None = Field(default=None, examples=[None])


@dataclass(frozen=True, slots=True)
class AgentVersion:
    """One version of an agent as it is stored."""

    id: UUID
    name: str
    version: str
    definition: dict[str, Any]
    created_at: datetime


_Description = Annotated[str, StringConstraints(max_length=1_000)]
_Instructions = Annotated[str, StringConstraints(max_length=100_000)]
_ToolName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_Tools = Annotated[list[_ToolName], Field(max_length=100, examples=[["calculator"]])]
_Policies = Annotated[dict[_ToolName, ToolPolicy], Field(max_length=200, examples=[{"calculator": "ask"}])]
_SubAgents = Annotated[list[AgentName], Field(max_length=20, examples=[[]])]
_Mcp = Annotated[list[McpSource], Field(max_length=10, examples=[[]])]
_Overrides = Annotated[list[Override], Field(max_length=20, examples=[["temperature"]])]


class AgentCreate(Inbound):
    """A new agent of the workspace. `model` null means the default model.

    `tools` are names of the server's tools. `policies` make single tools stricter than they are: `ask` for a person
    first, or `deny`; `allow` changes nothing. `sub_agents` are agents that it may hand work to, `mcp` servers whose
    tools it has, `overrides` what a message or task may say otherwise.
    """

    name: Annotated[str, StringConstraints(pattern=AGENT_NAME)] = Field(examples=["support"])
    description: _Description = Field(default="", examples=["Answers questions of customers."])
    instructions: _Instructions = Field(default="", examples=["Answer in two sentences."])
    model: ModelName | None = Field(default=None, examples=[None])
    tools: _Tools = Field(default_factory=list[str])
    limits: LimitsIn = Field(default_factory=LimitsIn)
    output_schema: JsonObject | None = Field(default=None, examples=[None])
    policies: _Policies = Field(default_factory=dict[str, ToolPolicy])
    sub_agents: _SubAgents = Field(default_factory=list[str])
    mcp: _Mcp = Field(default_factory=list[McpSource])
    model_settings: ModelTuning = Field(default_factory=ModelTuning)
    overrides: _Overrides = Field(default_factory=list[Override])
    context: ContextPolicy = Field(default_factory=ContextPolicy)
    memory: MemoryScope = "off"


class AgentPatch(Inbound):
    """What can be changed of an agent; fields that are left out stay. Each change is a new version."""

    description: _Description | None = Field(default=None, examples=["Answers questions of customers."])
    instructions: _Instructions | None = Field(default=None, examples=["Answer in one sentence."])
    model: ModelName | None = Field(default=None, examples=[None])
    tools: _Tools | None = None
    limits: LimitsIn | None = None
    output_schema: JsonObject | None = Field(default=None, examples=[None])
    policies: _Policies | None = None
    sub_agents: _SubAgents | None = None
    mcp: _Mcp | None = None
    model_settings: ModelTuning | None = None
    overrides: _Overrides | None = None
    context: ContextPolicy | None = None
    memory: MemoryScope | None = Field(default=None, examples=["off"])


class AgentOut(Outbound):
    """An agent. `version` changes whenever anything of its definition does; runs name the one that they used.

    `source` says whose it is: the product's, the operator's code, or one that this workspace has defined.
    """

    name: str = Field(examples=["assistant"])
    description: str
    version: str = Field(examples=["3f9a1c20b7de"])
    source: AgentSource = Field(examples=["built_in"])
    instructions: str
    model: str | None = Field(examples=[None])
    tools: list[str]
    limits: Limits
    output_schema: dict[str, Any] | None = Field(examples=[None])
    policies: dict[str, ToolPolicy]
    sub_agents: list[str]
    mcp: list[McpSource]
    model_settings: ModelTuning
    overrides: list[Override]
    context: ContextPolicy
    memory: MemoryScope = Field(examples=["off"])


class AgentVersionOut(Outbound):
    """One version of an agent: since when it is known here, and whether new runs use it."""

    version: str = Field(examples=["3f9a1c20b7de"])
    current: bool
    created_at: datetime
