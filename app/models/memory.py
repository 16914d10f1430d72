"""What agents remember for a user: notes with where they come from, and what strangers had a hand in."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import Field

from app.models.wire import Outbound


@dataclass(frozen=True, slots=True)
class Memory:
    """A row of `notes`. `agent` is empty for a note that every agent shares; `taint` says what its run had read."""

    workspace_id: UUID
    id: UUID
    user_id: UUID
    agent: str
    key: str
    text: str
    taint: list[str]
    run_id: UUID | None
    conversation_id: UUID | None
    created_at: datetime
    updated_at: datetime


class MemoryOut(Outbound):
    """A note. `agent` is null for one that every agent shares.

    `taint` names what the run that kept it had read of other people; a run that is given the note has read it too.
    """

    id: UUID
    user_id: str = Field(examples=["owner"])
    agent: str | None = Field(examples=[None])
    key: str = Field(examples=["favourite colour"])
    text: str = Field(examples=["green"])
    taint: list[str] = Field(examples=[[]])
    run_id: UUID | None
    conversation_id: UUID | None
    created_at: datetime
    updated_at: datetime


class Forgotten(Outbound):
    """How many notes were deleted."""

    deleted: int = Field(examples=[3])
