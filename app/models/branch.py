"""Branches: other ways that a conversation has taken, each known by its last entry."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.models.conversation import TurnOut
from app.models.wire import Inbound, Outbound, Prompt


class BranchIn(Inbound):
    """Where to go on: the id of a message, of the present line or of a branch.

    From a message of the user: with `message` it is edited, without it the answer is made anew; its files and the
    shape of its answer go along again. From a message of the assistant: the conversation goes on after it, with
    `message` at once; without it, this only switches there.
    """

    from_: Annotated[UUID, Field(strict=False, alias="from")]
    message: Prompt | None = Field(default=None, examples=["And of Italy?"])
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Tip:
    """The last entry of a line of a conversation."""

    id: UUID
    role: Literal["user", "assistant"]
    preview: str
    current: bool
    created_at: datetime


class TipOut(Outbound):
    """The end of a line; `id` is what `branch` takes to go back there. `current` marks the line that is shown."""

    id: UUID
    role: Literal["user", "assistant"]
    preview: str = Field(examples=["The capital of France is Paris."])
    current: bool = Field(examples=[True])
    created_at: datetime


class BranchedOut(Outbound):
    """What a branch came to: the entry that it went on from, the tip that was left, and the turn if there is one."""

    from_id: UUID | None
    left_id: UUID | None
    turn: TurnOut | None
