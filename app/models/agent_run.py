"""The agent runner's wire shapes: one agent, one document, one answer."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from app.models.wire import ExternalUserId, Inbound, Outbound

AgentRunStatus = Literal["running", "completed", "failed"]


class DocumentIn(Inbound):
    """The document: its text, an https address of it, or the id of an uploaded file; one of the three."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=500_000)] | None = Field(
        default=None, examples=["Invoice 7 of 3 May 2026: 120.00 EUR"]
    )
    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = Field(default=None, examples=[None])
    file_id: Annotated[UUID, Field(strict=False)] | None = Field(default=None, examples=[None])


class AgentRunCreate(Inbound):
    """Begin a run of `document-extractor` or `policy-checker` (upper case and other separators do as well).

    Without `input` a sample document is processed. `policy` is the text that `policy-checker` holds it against.
    """

    agent_type: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(examples=["document-extractor"])
    user_id: ExternalUserId | None = Field(default=None, examples=["3fa85f64-5717-4562-b3fc-2c963f66afa6"])
    input: DocumentIn | None = Field(default=None, examples=[None])
    policy: Annotated[str, StringConstraints(min_length=1, max_length=100_000)] | None = Field(
        default=None, examples=[None]
    )


class AgentRunStarted(Outbound):
    """The run that was begun."""

    run_id: UUID
    status: Literal["running"] = "running"


class AgentRunOut(Outbound):
    """A run as the agent runner tells of it. `result` is text, JSON for agents that answer with data; `result_data` is
    that data, with `source`: which document it is about.
    """

    run_id: UUID
    agent_type: str = Field(examples=["document-extractor"])
    user_id: str = Field(examples=["3fa85f64-5717-4562-b3fc-2c963f66afa6"])
    status: AgentRunStatus = Field(examples=["completed"])
    result: str | None
    result_data: Any = Field(examples=[None])
    error: str | None
    started_at: datetime
    completed_at: datetime | None
