"""The state that an application shares with its agent, and how it is changed: JSON Patch or JSON Merge Patch."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from app.models.wire import Inbound, JsonObject, Outbound

ContextChanges = Literal["propose", "ask", "apply"]
"""What becomes of a change that an agent wants: the client is told of it and makes it or not, a person is asked and
the server makes it, or the server makes it at once."""

MOST_OPERATIONS = 256
Pointer = Annotated[str, StringConstraints(pattern=r"^(/([^~/]|~[01])*)*$", max_length=2000)]
Version = Annotated[int, Field(ge=0, le=2**31 - 1, examples=[3])]


class SetOperation(Inbound):
    """Put a value somewhere, or test that it stands there."""

    op: Literal["add", "replace", "test"]
    path: Pointer = Field(examples=["/page"])
    value: Any


class RemoveOperation(Inbound):
    """Take a value away."""

    op: Literal["remove"]
    path: Pointer


class MoveOperation(Inbound):
    """Move or copy a value."""

    op: Literal["move", "copy"]
    source: Pointer = Field(alias="from")
    path: Pointer


Operation = Annotated[SetOperation | RemoveOperation | MoveOperation, Field(discriminator="op")]
"""One operation of a JSON Patch (RFC 6902)."""

Patch = Annotated[
    list[Operation],
    Field(
        min_length=1,
        max_length=MOST_OPERATIONS,
        examples=[[{"op": "replace", "path": "/order/status", "value": "paid"}]],
    ),
]


class ContextChange(Inbound):
    """A change to the context: `patch` (RFC 6902) or `merge` (RFC 7396), one of the two.

    With `version` it is made to that version only (409 `context_changed` otherwise); without, to whatever is there.
    """

    patch: Patch | None = Field(default=None)
    merge: JsonObject | None = Field(default=None, examples=[None])
    version: Version | None = Field(default=None, examples=[None])

    @model_validator(mode="after")
    def _one_way(self) -> "ContextChange":
        if (self.patch is None) is (self.merge is None):
            raise ValueError("give either patch or merge")
        return self

    def operations(self) -> list[dict[str, Any]]:
        """The patch as JSON data."""
        return [one.model_dump(by_alias=True) for one in self.patch or ()]


class ContextOut(Outbound):
    """The context as it is now. `version` goes up by one with every change."""

    context_data: dict[str, Any] = Field(examples=[{"order": {"id": 17, "status": "paid"}}])
    version: int = Field(examples=[3])


def shown(data: Mapping[str, Any], version: int) -> ContextOut:
    """The context as clients see it."""
    return ContextOut(context_data=dict(data), version=version)
