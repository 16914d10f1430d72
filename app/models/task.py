"""A task: a saved order that makes runs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from app.models.notification import NotificationConfig
from app.models.run import LimitsIn, RunStatus, Usage
from app.models.target import TargetIn, Targets
from app.models.wire import AgentName, ExternalUserId, Inbound, JsonObject, ModelName, Outbound, Prompt, Title

TaskStatus = Literal["disabled", "idle", "queued", "running", "waiting", "completed", "failed", "cancelled"]


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
    schedule: dict[str, Any] | None
    next_due_at: datetime | None
    next_fire_at: datetime | None
    runs_made: int
    finished_at: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    pause_reason: str | None
    failure_streak: int
    trigger: dict[str, Any] | None
    after_task_id: UUID | None
    after_on: str | None
    last_run_id: UUID | None
    disabled_at: datetime | None
    deleted_at: datetime | None
    created_at: datetime
    updated_at: datetime


class TaskCreate(Inbound):
    """A new task. A delegation starts at once. `targets` are the addresses that its agent may post to."""

    task_type: Annotated[str, Field(max_length=50, examples=["delegation"])]
    prompt: Prompt = Field(examples=["Research the latest trends in AI and write a summary"])
    agent: AgentName | None = Field(default=None, examples=[None])
    title: Title | None = Field(default=None, examples=[None])
    context_data: JsonObject = Field(default_factory=dict[str, Any])
    notification_config: NotificationConfig = Field(default_factory=NotificationConfig)
    targets: Targets = Field(default_factory=list[TargetIn])
    limits: LimitsIn | None = Field(default=None, examples=[None])
    model: ModelName | None = Field(default=None, examples=[None])
    user_id: ExternalUserId | None = Field(default=None, examples=[None])


class TaskPatch(Inbound):
    """What can be changed of a task; fields that are left out stay. Runs that began keep what they began with."""

    prompt: Prompt | None = Field(default=None, examples=["Write a shorter summary"])
    title: Title | None = Field(default=None, examples=["Trends"])
    context_data: JsonObject | None = None
    notification_config: NotificationConfig | None = None
    targets: Targets | None = None
    limits: LimitsIn | None = Field(default=None, examples=[None])
    model: ModelName | None = Field(default=None, examples=[None])


class TaskOut(Outbound):
    """A task. `status` is `disabled`, or that of its latest run (`idle` without one).

    `result` and `error` are those of that run.
    """

    id: UUID
    task_type: str = Field(examples=["delegation"])
    status: TaskStatus = Field(examples=["queued"])
    agent: str
    title: str | None
    prompt: str
    context_data: dict[str, Any]
    notification_config: dict[str, Any]
    targets: list[dict[str, Any]]
    limits: dict[str, Any]
    model: str | None
    user_id: str = Field(examples=["owner"])
    last_run_id: UUID | None
    last_run_status: RunStatus | None
    result: Any = Field(examples=[None])
    error: dict[str, Any] | None = Field(examples=[None])
    usage: Usage
    created_at: datetime
    updated_at: datetime


class ExecutionOut(Outbound):
    """The run that an execution began, and where to look for it."""

    run_id: UUID
    status_url: str = Field(examples=["/runs/0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11"])
