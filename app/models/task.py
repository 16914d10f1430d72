"""A task: a saved order that makes runs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from app.models.agent import Overrides
from app.models.file import FileIds
from app.models.grants import GrantsIn
from app.models.notification import NotificationConfig
from app.models.research import ResearchOptions
from app.models.run import LimitsIn, RunStatus, Usage
from app.models.schedule import ScheduleIn
from app.models.target import TargetIn, Targets
from app.models.trigger import TriggerConfig
from app.models.wire import AgentName, ExternalUserId, Inbound, JsonObject, ModelName, Outbound, Prompt, Title

TaskStatus = Literal[
    "disabled",
    "paused",
    "active",
    "finished",
    "idle",
    "queued",
    "running",
    "waiting",
    "completed",
    "failed",
    "cancelled",
]
ChainOn = Literal["success", "failure", "any"]

CronText = Annotated[str, StringConstraints(min_length=1, max_length=200)]


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
    grants: dict[str, Any]
    limits: dict[str, Any]
    model: str | None
    output_schema: dict[str, Any] | None
    options: dict[str, Any]
    files: list[UUID]
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


class DependsOn(Inbound):
    """The task that this one runs after, and after which of its outcomes; it is given the result as data."""

    task_id: Annotated[UUID, Field(strict=False)]
    on: ChainOn = "success"


class TaskCreate(Inbound):
    """A new task. `targets` are the addresses that its agent may post to, `grants` what it may do
    with nobody present, `overrides` what is said otherwise than the agent. `options` say how a research is done.
    `files` are documents that each run is given. With `output_schema`, a JSON Schema of an object, its runs answer
    with data that fits it.

    A delegation or a research starts at once, or after the task that it `depends_on`. `scheduled` needs a `schedule`,
    or a `schedule_expression` in crontab form (UTC). `triggered` takes a `trigger_config`.
    """

    task_type: Annotated[str, Field(max_length=50, examples=["delegation"])]
    prompt: Prompt = Field(examples=["Research the latest trends in AI and write a summary"])
    files: FileIds = Field(default_factory=list[UUID], examples=[[]])
    output_schema: JsonObject | None = Field(default=None, examples=[None])
    agent: AgentName | None = Field(default=None, examples=[None])
    title: Title | None = Field(default=None, examples=[None])
    context_data: JsonObject = Field(default_factory=dict[str, Any])
    notification_config: NotificationConfig = Field(default_factory=NotificationConfig)
    targets: Targets = Field(default_factory=list[TargetIn])
    grants: GrantsIn = Field(default_factory=GrantsIn)
    limits: LimitsIn | None = Field(default=None, examples=[None])
    model: ModelName | None = Field(default=None, examples=[None])
    overrides: Overrides | None = Field(default=None, examples=[None])
    user_id: ExternalUserId | None = Field(default=None, examples=[None])
    schedule_expression: CronText | None = Field(default=None, examples=[None])
    schedule: ScheduleIn | None = Field(default=None, examples=[None])
    trigger_config: TriggerConfig | None = Field(default=None, examples=[None])
    depends_on: DependsOn | None = Field(default=None, examples=[None])
    options: ResearchOptions | None = Field(default=None, examples=[None])


class TaskPatch(Inbound):
    """What can be changed of a task; fields that are left out stay. Runs that began keep what they began with."""

    prompt: Prompt | None = Field(default=None, examples=["Write a shorter summary"])
    files: FileIds | None = Field(default=None, examples=[[]])
    output_schema: JsonObject | None = Field(default=None, examples=[None])
    title: Title | None = Field(default=None, examples=["Trends"])
    context_data: JsonObject | None = None
    notification_config: NotificationConfig | None = None
    targets: Targets | None = None
    grants: GrantsIn | None = None
    limits: LimitsIn | None = Field(default=None, examples=[None])
    model: ModelName | None = Field(default=None, examples=[None])
    overrides: Overrides | None = Field(default=None, examples=[None])
    schedule_expression: CronText | None = Field(default=None, examples=[None])
    schedule: ScheduleIn | None = Field(default=None, examples=[None])
    trigger_config: TriggerConfig | None = Field(default=None, examples=[None])
    depends_on: DependsOn | None = Field(default=None, examples=[None])
    options: ResearchOptions | None = Field(default=None, examples=[None])


class TaskOut(Outbound):
    """A task. `status` is `disabled` or `paused`; else `active` or `finished` where a schedule or a webhook makes the
    runs, and otherwise that of its latest run (`idle` without one).

    `result` and `error` are those of that run. `description` says in words when a schedule fires.
    """

    id: UUID
    task_type: str = Field(examples=["delegation"])
    status: TaskStatus = Field(examples=["queued"])
    agent: str
    title: str | None
    prompt: str
    files: list[UUID]
    output_schema: dict[str, Any] | None
    context_data: dict[str, Any]
    notification_config: dict[str, Any]
    targets: list[dict[str, Any]]
    grants: dict[str, Any]
    limits: dict[str, Any]
    model: str | None
    options: dict[str, Any] = Field(examples=[{}])
    overrides: dict[str, Any]
    user_id: str = Field(examples=["owner"])
    schedule_expression: str | None = Field(examples=["0 9 * * *"])
    schedule: dict[str, Any] | None
    description: str | None = Field(examples=["At 09:00, UTC"])
    timezone: str | None = Field(examples=["UTC"])
    next_run_at: datetime | None
    runs_made: int
    failure_streak: int
    paused_at: datetime | None
    paused_by: str | None
    pause_reason: str | None
    trigger_config: dict[str, Any] | None
    webhook_url: str | None
    depends_on: dict[str, Any] | None
    last_run_id: UUID | None
    last_run_status: RunStatus | None
    result: Any = Field(examples=[None])
    error: dict[str, Any] | None = Field(examples=[None])
    usage: Usage
    created_at: datetime
    updated_at: datetime


class TaskCreated(TaskOut):
    """A new task. `webhook_secret` is shown this once; null where there is none or a request is repeated."""

    webhook_secret: str | None


class ExecutionOut(Outbound):
    """The run that an execution began, and where to look for it."""

    run_id: UUID
    status_url: str = Field(examples=["/runs/0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11"])
