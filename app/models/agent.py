"""An agent as clients see it."""

from typing import Any

from pydantic import Field

from app.models.run import Limits
from app.models.wire import Outbound


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
