"""Events: facts about a run, numbered per run. The catalogue that streams, webhooks and the audit share.

The models describe the wire. Events are made and carried as `Frame`s (`models/frames.py`), encoded once.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.models.approval import ApprovalKind, ApprovalStatus, Decision
from app.models.run import RunStatus, Usage, WaitingOn

ToolStatus = Literal["ok", "failed", "denied", "unknown"]
DeliveryStatus = Literal["pending", "sent", "failed", "dead"]


class EventEnvelope(BaseModel):
    """What every event carries. `seq` counts 1, 2, 3 … per run, over all attempts."""

    model_config = ConfigDict(frozen=True)

    seq: int = Field(ge=1)
    run_id: UUID
    conversation_id: UUID
    ts: datetime
    attempt: int = Field(ge=0, description="Text of an earlier attempt that was not completed is void.")


class RunQueued(EventEnvelope):
    """The run waits for a worker, or for what `waiting_on` names."""

    type: Literal["run.queued"]
    waiting_on: list[WaitingOn] | None = None


class RunStarted(EventEnvelope):
    """A worker took the run; once per attempt."""

    type: Literal["run.started"]
    model: str
    agent: str


class RunWaiting(EventEnvelope):
    """The run waits: for decisions, for its client to answer calls, or for runs that it began."""

    type: Literal["run.waiting"]
    approval_ids: list[UUID] = []
    waiting_on: list[WaitingOn] = []
    usage: Usage | None = None


class RunRetrying(EventEnvelope):
    """An attempt failed in a way that may pass; the next one starts at `until`."""

    type: Literal["run.retrying"]
    until: datetime
    reason: str
    detail: str | None = None


class RunOutcome(BaseModel):
    """What a run came to: text, and data when its agent has an output schema."""

    model_config = ConfigDict(frozen=True)

    text: str | None = None
    data: Any = None


class RunEnded(EventEnvelope):
    """What the three ends share. The last event of a stream is one of them."""

    status_reason: str | None = None
    detail: str | None = None
    result: RunOutcome | None = None
    usage: Usage | None = None


class RunCompleted(RunEnded):
    """The run is done; `message_id` is the answer's entry in the conversation."""

    type: Literal["run.completed"]
    message_id: UUID | None = None


class RunFailed(RunEnded):
    """The run failed for good; `result` holds what it had so far."""

    type: Literal["run.failed"]


class RunCancelled(RunEnded):
    """The run was cancelled and has stopped."""

    type: Literal["run.cancelled"]


class RunSnapshot(EventEnvelope):
    """Numbering jumped ahead: events between may be lost. Text so far is replaced by `text`."""

    type: Literal["run.snapshot"]
    text: str
    status: RunStatus
    checkpoints: int
    reason: str


class MessageDelta(EventEnvelope):
    """A further piece of the answer."""

    type: Literal["message.delta"]
    text: str
    part: int


class MessageCompleted(EventEnvelope):
    """A whole response of the model."""

    type: Literal["message.completed"]
    message_id: UUID | None = None
    text: str


class ToolCalled(EventEnvelope):
    """A tool call begins. With `client`, the application answers it at `POST /runs/{run_id}/tool-results`.

    `child_run_id` names the run that carries the call out, where one does.
    """

    type: Literal["tool.call"]
    tool_call_id: str
    tool: str
    arguments: dict[str, Any]
    effect: bool = False
    step: int | None = None
    client: bool = False
    child_run_id: UUID | None = None
    expires_at: datetime | None = None


class ToolReturned(EventEnvelope):
    """What became of a tool call."""

    type: Literal["tool.result"]
    tool_call_id: str
    tool: str
    status: ToolStatus
    summary: str | None = None


class ApprovalRequested(EventEnvelope):
    """A person owes the run a decision."""

    type: Literal["approval.requested"]
    approval_id: UUID
    kind: ApprovalKind
    tool: str
    tool_call_id: str | None = None
    arguments: dict[str, Any]
    expires_at: datetime | None = None


class ApprovalDecided(EventEnvelope):
    """The decision was made."""

    type: Literal["approval.decided"]
    approval_id: UUID
    status: ApprovalStatus
    decision: Decision | None = None
    decided_by: str | None = None


class ApprovalExpired(EventEnvelope):
    """Nobody decided in time; the call is denied."""

    type: Literal["approval.expired"]
    approval_id: UUID


class UsageUpdated(EventEnvelope):
    """Usage of the run so far."""

    type: Literal["usage.updated"]
    usage: Usage


class PlanUpdated(EventEnvelope):
    """The plan of a longer run, whole: each step with `title`, `status` (open, done, failed) and the run that does it.

    `done` is the share of it that is done, from 0 to 1.
    """

    type: Literal["plan.updated"]
    steps: list[dict[str, Any]]
    done: float = Field(default=0.0, ge=0, le=1)


class ContextPatched(EventEnvelope):
    """The agent wants to change the conversation's context, or has changed it (`applied`), by a JSON Patch (RFC 6902).

    A proposal is for the client: it makes the change to its own state and sends it to
    `PATCH /conversations/{id}/context`, with `base_version` as its version, or does nothing. `version` is the one that
    an applied change has made. `taint` says whose text had entered the run.
    """

    type: Literal["context.patch"]
    tool_call_id: str
    patch: list[dict[str, Any]]
    base_version: int
    applied: bool
    version: int | None = None
    why: str
    taint: list[str] = []


class DeliveryUpdated(EventEnvelope):
    """What became of a message about this run, told while the run waits; `/deliveries` tells of all of them."""

    type: Literal["delivery.updated"]
    delivery_id: UUID
    channel: str
    status: DeliveryStatus
    detail: str | None = None


CATALOGUE: tuple[type[EventEnvelope], ...] = (
    RunQueued,
    RunStarted,
    RunWaiting,
    RunRetrying,
    RunCompleted,
    RunFailed,
    RunCancelled,
    RunSnapshot,
    MessageDelta,
    MessageCompleted,
    ToolCalled,
    ToolReturned,
    ApprovalRequested,
    ApprovalDecided,
    ApprovalExpired,
    UsageUpdated,
    PlanUpdated,
    ContextPatched,
    DeliveryUpdated,
)
"""Every type of event; clients ignore types that they do not know."""

Event = Annotated[
    RunQueued
    | RunStarted
    | RunWaiting
    | RunRetrying
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunSnapshot
    | MessageDelta
    | MessageCompleted
    | ToolCalled
    | ToolReturned
    | ApprovalRequested
    | ApprovalDecided
    | ApprovalExpired
    | UsageUpdated
    | PlanUpdated
    | ContextPatched
    | DeliveryUpdated,
    Field(discriminator="type"),
]

TERMINAL_EVENTS: frozenset[str] = frozenset({"run.completed", "run.failed", "run.cancelled"})
"""The last event of every run is one of these."""
