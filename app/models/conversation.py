"""A conversation: an append-only log of messages that runs extend."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from app.models.agent import Overrides
from app.models.approval import ApprovalOut
from app.models.awaited import ClientCallOut
from app.models.client_tool import ClientToolIn, ClientTools
from app.models.context import ContextChange, ContextChanges
from app.models.file import FileIds
from app.models.run import OnBusy, RunStatus, Usage
from app.models.target import TargetIn, Targets
from app.models.wire import AgentName, ExternalUserId, Inbound, JsonObject, Outbound, Prompt, Title

ConversationStatus = Literal["idle", "queued", "running", "waiting"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row of `conversations`: what is known of it besides its log of entries.

    One with `expires_at` was made for a single answer: it is in no list, and erased after that time.
    """

    workspace_id: UUID
    id: UUID
    user_id: UUID
    pattern: str
    agent: str
    title: str | None
    context_data: dict[str, Any]
    context_version: int
    context_schema: dict[str, Any] | None
    context_changes: str
    client_tools: list[dict[str, Any]]
    targets: list[dict[str, Any]]
    grants: dict[str, Any]
    taint: list[str]
    head_id: UUID | None
    summary_id: UUID | None
    revision: UUID | None
    usage: dict[str, Any]
    deferred: dict[str, Any] | None
    branches: list[UUID]
    forked_from: UUID | None
    forked_at: UUID | None
    expires_at: datetime | None
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


class ConversationCreate(Inbound):
    """A new conversation. `targets` are the addresses that its agent may post to, each after asking by default.

    `context_schema` is a JSON Schema that `context_data` must always fit; `context_changes` says what becomes of
    changes that the agent wants; `context_untrusted` that the context holds text of other people. `client_tools` are
    carried out by the client.
    """

    pattern_type: Annotated[str, Field(max_length=50, examples=["chatbot"])] = "chatbot"
    agent: AgentName | None = Field(default=None, examples=[None])
    title: Title | None = Field(default=None, examples=["Capitals of Europe"])
    context_data: JsonObject = Field(default_factory=dict[str, Any])
    context_schema: JsonObject | None = Field(default=None, examples=[None])
    context_changes: ContextChanges = "propose"
    context_untrusted: bool = False
    client_tools: ClientTools = Field(default_factory=list[ClientToolIn])
    targets: Targets = Field(default_factory=list[TargetIn])
    user_id: ExternalUserId | None = Field(default=None, examples=[None])


class ConversationPatch(Inbound):
    """What can be changed of a conversation; fields that are left out stay.

    `context_data` replaces the whole context, as its next version; a `context_schema` of null takes the schema away.
    Once a context was `context_untrusted`, its conversation stays so.
    """

    title: Title | None = Field(default=None, examples=["Capitals of Europe"])
    context_data: JsonObject | None = None
    context_schema: JsonObject | None = Field(default=None, examples=[None])
    context_changes: ContextChanges | None = Field(default=None, examples=["ask"])
    context_untrusted: Literal[True] | None = Field(default=None, examples=[None])
    client_tools: ClientTools | None = None


class ConversationOut(Outbound):
    """A conversation. `status` is that of the run at its head, or `idle`; `active_run_id` names that run.

    `taint` says whose text its runs begin with besides the person's own.
    """

    id: UUID
    pattern_type: str = Field(examples=["chatbot"])
    agent: str = Field(examples=["assistant"])
    title: str | None
    context_data: dict[str, Any]
    context_version: int = Field(examples=[0])
    context_schema: dict[str, Any] | None = Field(examples=[None])
    context_changes: ContextChanges
    client_tools: list[ClientToolIn]
    taint: list[str] = Field(examples=[[]])
    status: ConversationStatus = Field(examples=["idle"])
    active_run_id: UUID | None = Field(examples=[None])
    user_id: str = Field(examples=["owner"])
    targets: list[dict[str, Any]]
    usage: Usage
    forked_from: UUID | None = Field(examples=[None])
    created_at: datetime
    updated_at: datetime


class MessageCreate(Inbound):
    """One turn. `stream` asks for server-sent events; `on_busy` says what to do while another run is active.

    `steer` hands the message to that run; what it does not read before it ends is the next run's prompt. `context`
    changes the conversation's context in the commit that takes the message; `overrides` says things otherwise than
    the agent, for this turn. `files` are documents that go along. With `output_schema`, a JSON Schema of an object,
    the answer is data that fits it.
    """

    message: Prompt = Field(examples=["What is the capital of France?"])
    overrides: Overrides | None = Field(default=None, examples=[None])
    context: ContextChange | None = Field(default=None, examples=[None])
    files: FileIds = Field(default_factory=list[UUID], examples=[[]])
    output_schema: JsonObject | None = Field(default=None, examples=[None])
    stream: bool = False
    on_busy: OnBusy = "reject"


class ContinueIn(Inbound):
    """Go on with the thread: with a further message, or without one from where the log stands."""

    message: Prompt | None = Field(default=None, examples=["And of Italy?"])
    context: ContextChange | None = Field(default=None, examples=[None])
    files: FileIds = Field(default_factory=list[UUID], examples=[[]])
    output_schema: JsonObject | None = Field(default=None, examples=[None])
    stream: bool = False
    on_busy: OnBusy = "reject"


class ForkIn(Inbound):
    """A new conversation that shares the log up to `at` (an id of a message; the whole log without it)."""

    at: Annotated[UUID, Field(strict=False)] | None = Field(default=None, examples=[None])
    title: Title | None = Field(default=None, examples=[None])


class MessageOut(Outbound):
    """One prompt of the user or one response of the assistant, tool calls and results inside as `parts`.

    `status` is `pending` for the input of a run that waits for its turn. The id is the one that a fork takes.
    """

    id: UUID
    role: Literal["user", "assistant"]
    content: str = Field(examples=["What is the capital of France?"])
    parts: list[dict[str, Any]]
    status: Literal["completed", "pending"]
    run_id: UUID | None
    created_at: datetime


class ReplyOut(Outbound):
    """The assistant's answer to one turn; its id is that of its entry in the log."""

    id: UUID | None
    role: Literal["assistant"]
    content: str = Field(examples=["The capital of France is Paris."])


class TurnOut(Outbound):
    """What a turn came to. `message` is null while `status` is `waiting`; `approvals` and `tool_calls` say for what.

    `data` is the answer where an `output_schema` asks for data.

    `tool_calls` are calls of the client's own tools, to be answered at `POST /runs/{run_id}/tool-results`.
    `steered` says that the message was kept for the run that was active; `run_id` names that one.
    """

    run_id: UUID
    conversation_id: UUID
    status: RunStatus = Field(examples=["completed"])
    message: ReplyOut | None
    data: Any = Field(default=None, examples=[None])
    usage: Usage
    model: str = Field(examples=["demo"])
    approvals: list[ApprovalOut]
    tool_calls: list[ClientCallOut]
    error: dict[str, Any] | None = Field(examples=[None])
    steered: bool = Field(default=False, examples=[False])
