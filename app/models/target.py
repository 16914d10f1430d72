"""A place outside that an agent may post to: named by a person, never by a model."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.models.wire import Inbound

TargetPolicy = Literal["ask", "allow"]


class TargetIn(Inbound):
    """An address that agents know by `name`. `approval` decides whether a person is asked before each post.

    `idempotent` says that the far end honours Idempotency-Key, so that a post whose outcome is unknown may be
    repeated. Without `approval` conversations ask and tasks post.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] = Field(examples=["crm"])
    url: Annotated[str, StringConstraints(min_length=1, max_length=2000)] = Field(
        examples=["https://example.com/hooks/crm"]
    )
    approval: TargetPolicy | None = Field(default=None, examples=["ask"])
    idempotent: bool = False


Targets = Annotated[list[TargetIn], Field(max_length=20, examples=[[]])]
