"""An agent as clients see it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.models.run import Limits
from app.models.wire import Outbound

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


class AgentOut(Outbound):
    """An agent. `version` changes whenever anything of its definition does; runs name the one that they used."""

    name: str = Field(examples=["assistant"])
    description: str
    version: str = Field(examples=["3f9a1c20b7de"])
    instructions: str
    model: str | None = Field(examples=[None])
    tools: list[str]
    limits: Limits
    output_schema: dict[str, Any] | None = Field(examples=[None])
    context: ContextPolicy
    memory: MemoryScope = Field(examples=["off"])
