"""A task: a saved order that makes runs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Task:
    """A row of `tasks`."""

    workspace_id: UUID
    id: UUID
    user_id: UUID
    pattern: str
    agent: str
    title: str | None
    prompt: str
    context_data: dict[str, Any]
    notification_config: dict[str, Any]
    targets: list[dict[str, Any]]
    limits: dict[str, Any]
    model: str | None
    last_run_id: UUID | None
    disabled_at: datetime | None
    deleted_at: datetime | None
    created_at: datetime
    updated_at: datetime
