"""A conversation: an append-only log of messages that runs extend."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row of `conversations`: what is known of it besides its log of entries."""

    workspace_id: UUID
    id: UUID
    user_id: UUID
    pattern: str
    agent: str
    title: str | None
    context_data: dict[str, Any]
    targets: list[dict[str, Any]]
    head_id: UUID | None
    revision: UUID | None
    usage: dict[str, Any]
    deferred: dict[str, Any] | None
    branches: list[UUID]
    forked_from: UUID | None
    forked_at: UUID | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a log, linked to the one before it. `message` is in the writer's `format`."""

    workspace_id: UUID
    id: UUID
    parent_id: UUID | None
    run_id: UUID | None
    kind: str
    format: int
    message: dict[str, Any]
    created_at: datetime
