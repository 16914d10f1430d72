"""A turn on its short way: what it finds, how far it may go, what it leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.models.conversation import Conversation
from app.models.frames import EventBatch


@dataclass(frozen=True, slots=True)
class OpenConversation:
    """A conversation and its log as its lock found them: the messages as one JSON array, the formats they are in."""

    row: Conversation
    messages: str | None
    formats: Sequence[int]


@dataclass(frozen=True, slots=True)
class Caps:
    """The most runs that may be running in a lane: of a user, of an agent, of a workspace (0 = any number)."""

    per_user: int
    per_agent: int
    per_workspace: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What a completed run leaves: its new entries in the log, its answer, its events and its last columns.

    `entry_id` is the response that answers; it may have been logged before.
    """

    progress: dict[str, Any]
    ids: Sequence[UUID]
    messages: Sequence[str]
    format: int
    revision: UUID
    usage: dict[str, Any]
    text: str | None
    data: Any
    entry_id: UUID | None
    events: EventBatch


@dataclass(frozen=True, slots=True)
class Birth:
    """A run that nothing stands before: the columns of its new conversation and its own, and its first events."""

    conversation: dict[str, Any]
    run: dict[str, Any]
    events: EventBatch
