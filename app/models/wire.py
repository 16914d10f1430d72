"""What all wire shapes share: what a client sends is closed and checked, what it gets is stated in full."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ExternalUserId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""The client's own id of a person."""

Title = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=500_000)]
AgentName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
JsonObject = Annotated[dict[str, Any], Field(examples=[{}])]


class Inbound(BaseModel):
    """A shape that clients send: unknown fields are refused, nothing is guessed from another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Outbound(BaseModel):
    """A shape that clients get."""

    model_config = ConfigDict(frozen=True, from_attributes=True)
