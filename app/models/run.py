"""A run: one execution of an agent in one conversation. Its states, reasons, and row."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.models.wire import Inbound, Outbound

RunStatus = Literal["queued", "running", "waiting", "completed", "failed", "cancelled"]
Lane = Literal["interactive", "background", "research"]
OnBusy = Literal["reject", "enqueue", "interrupt", "steer"]

TERMINAL: frozenset[str] = frozenset({"completed", "failed", "cancelled"})
"""States that a run never leaves."""

TRANSITIONS: dict[str, frozenset[str]] = {
    "queued": frozenset({"running", "cancelled", "failed"}),
    "running": frozenset({"queued", "waiting", "completed", "failed", "cancelled"}),
    "waiting": frozenset({"queued", "cancelled", "failed"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}
"""Every legal move; `stores/runs.transition` makes no other."""


class Limits(BaseModel):
    """What one run may use. A field that is null has no limit of its own; `cost_usd` needs a priced model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int | None = None
    tool_calls: int | None = None
    tokens: int | None = None
    cost_usd: Decimal | None = None
    seconds: float | None = None


class Usage(BaseModel):
    """Tokens, requests, tool calls and cost. `cost_usd` is null where a model used has no known price."""

    model_config = ConfigDict(frozen=True)

    requests: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cost_usd: Decimal | None = None


class WaitingOn(BaseModel):
    """One thing that a queued or waiting run waits for.

    `approval` (ids in `approval_ids`), `client_tool` (a call that its client answers), `run` (one that it began, in
    `run_id`), `slot` (a cap in `detail`), `conversation` (the holder in `run_id`), `retry` (`until`), `budget`.
    """

    model_config = ConfigDict(frozen=True)

    type: Literal["approval", "client_tool", "run", "slot", "conversation", "retry", "budget"]
    until: datetime | None = None
    run_id: UUID | None = None
    approval_ids: list[UUID] | None = None
    tool_call_id: str | None = None
    tool: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `runs`, as the ledger has it."""

    workspace_id: UUID
    id: UUID
    conversation_id: UUID
    task_id: UUID | None
    user_id: UUID
    pattern: str
    agent: str
    agent_version: str
    model: str
    lane: str
    priority: int
    status: RunStatus
    status_reason: str | None
    status_detail: str | None
    waiting_on: list[dict[str, Any]] | None
    available_at: datetime
    holds_conversation: bool
    lease_owner: str | None
    lease_until: datetime | None
    fence: int
    attempt: int
    max_attempts: int
    checkpoints: int
    last_seq: int
    cancel_requested_at: datetime | None
    parent_run_id: UUID | None
    root_run_id: UUID | None
    trigger: str
    input: dict[str, Any]
    limits: dict[str, Any]
    taint: list[str]
    streamed: bool
    usage: dict[str, Any]
    state: dict[str, Any] | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to: its answer as text and, when structured, as data; or its error."""

    workspace_id: UUID
    run_id: UUID
    text: str | None
    data: Any
    error: dict[str, Any] | None
    entry_id: UUID | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A row of the tool journal: a call written down before it starts and after it is done."""

    workspace_id: UUID
    run_id: UUID
    step: int
    tool_call_id: str
    tool: str
    arguments: dict[str, Any]
    effect: bool
    repeatable: bool
    status: str
    result: Any
    usage: dict[str, Any] | None
    fence: int
    started_at: datetime
    finished_at: datetime | None


class LimitsIn(Inbound):
    """Limits that a client sets for the runs of a task."""

    steps: int | None = Field(default=None, ge=1, le=1_000)
    tool_calls: int | None = Field(default=None, ge=0, le=10_000)
    tokens: int | None = Field(default=None, ge=1, le=1_000_000_000)
    cost_usd: Annotated[Decimal, Field(strict=False, ge=0, le=1_000_000, max_digits=20)] | None = None
    seconds: float | None = Field(default=None, gt=0, le=7 * 86_400)


class SentOut(Outbound):
    """What the model was sent of the conversation with the run's last request.

    `left_out` messages were not sent; `summary_id` is the entry that stood for them. Tokens are estimated.
    """

    policy: str = Field(examples=["summarise"])
    messages: int = Field(examples=[3])
    left_out: int = Field(examples=[0])
    summary_id: UUID | None = Field(examples=[None])
    tokens_estimated: int = Field(examples=[420])
    window_tokens: int = Field(examples=[128000])


class RunOut(Outbound):
    """A run. `status_reason` is a slug, `status_detail` says in a sentence what a person can do about it.

    `usage` is the run's own; `total_usage` is that of all runs below it too: `parent_run_id` says which run began this
    one. `agent_version` and `model` are null until the run is first claimed, where a clock or a webhook began it.
    """

    id: UUID
    status: RunStatus = Field(examples=["completed"])
    status_reason: str | None
    status_detail: str | None
    waiting_on: list[WaitingOn] | None
    conversation_id: UUID
    task_id: UUID | None
    pattern_type: str = Field(examples=["delegation"])
    agent: str
    agent_version: str | None
    model: str | None = Field(examples=["demo"])
    trigger: str = Field(examples=["api"])
    attempt: int
    user_id: str = Field(examples=["owner"])
    result: Any = Field(examples=["The capital of France is Paris."])
    error: dict[str, Any] | None = Field(examples=[None])
    usage: Usage
    context: SentOut | None = Field(examples=[None])
    total_usage: Usage
    parent_run_id: UUID | None = Field(examples=[None])
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class ModelUsage(Outbound):
    """What the runs on one model used."""

    model: str = Field(examples=["demo"])
    runs: int = Field(examples=[2])
    usage: Usage


class UsageOut(Outbound):
    """What was used: in sum, and by model. `cost_usd` is null where a price is not known, never 0."""

    runs: int = Field(examples=[2])
    usage: Usage
    models: list[ModelUsage]
