"""What an agent is: a named definition whose version follows from its content."""

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from app.agents.context import Policy
from app.models.agent import AGENT_NAME, ContextPolicy, McpSource, MemoryScope, ModelTuning, Override
from app.models.run import Limits

RESERVED_NAMES = frozenset({"run", "status"})
"""Names that are paths of the agent runner."""


class AgentDefinition(BaseModel):
    """A named agent. `model` null means the default model; `output_schema` null means that it answers in text;
    `memory` which notes it is given when a run begins.

    `policies` say of tools by name what may happen to a call; they tighten what the tool's own policy says and never
    loosen it. `sub_agents` are the agents that it may hand work to, `mcp` the servers whose tools it has,
    `overrides` what a message or task may say otherwise, `code` a hash of the tools that an operator's code gives it.
    `version` is a short hash of everything above, so that a run shows which definition it ran on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=AGENT_NAME)]
    description: str = ""
    instructions: str = ""
    model: str | None = None
    tools: tuple[str, ...] = ()
    limits: Limits = Limits()
    output_schema: dict[str, Any] | None = None
    policies: dict[str, Policy] = Field(default_factory=dict[str, Policy])
    sub_agents: tuple[str, ...] = ()
    mcp: tuple[McpSource, ...] = ()
    model_settings: ModelTuning = ModelTuning()
    overrides: tuple[Override, ...] = ()
    context: ContextPolicy = ContextPolicy()
    memory: MemoryScope = "off"
    code: str = ""

    @cached_property
    def version(self) -> str:
        """Twelve hex digits; equal definitions have equal versions, also where a later release knows more fields."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def merge_limits(*layers: Limits) -> Limits:
    """The limits of a run: for each field the first layer that sets it."""
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        merged.update(layer.model_dump(exclude_none=True))
    return Limits(**merged)
