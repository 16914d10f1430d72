"""Calls that a run waits for: what its client answers, and what runs that it began come to."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app.models.wire import Outbound

AwaitedKind = Literal["client", "run"]
AwaitedStatus = Literal["pending", "answered", "expired", "void"]


@dataclass(frozen=True, slots=True)
class AwaitedCall:
    """A row of `awaited_calls`. `outcome` is `{status: ok | failed, content}` once the call is answered.

    A call of kind `run` is answered by the end of `child_run_id`; its outcome tells `run_status` and `data` too.
    """

    workspace_id: UUID
    run_id: UUID
    step: int
    tool_call_id: str
    kind: AwaitedKind
    tool: str
    arguments: dict[str, Any]
    child_run_id: UUID | None
    status: AwaitedStatus
    outcome: dict[str, Any] | None
    answered_by: str | None
    answered_at: datetime | None
    expires_at: datetime | None
    created_at: datetime


class ClientCallOut(Outbound):
    """A call of a client tool that the run waits for: answer it at `POST /runs/{run_id}/tool-results`."""

    tool_call_id: str = Field(examples=["call_1"])
    tool: str = Field(examples=["open_ticket"])
    arguments: dict[str, Any]
    expires_at: datetime | None


def client_call_out(call: AwaitedCall) -> ClientCallOut:
    """The call as its client sees it."""
    return ClientCallOut(
        tool_call_id=call.tool_call_id, tool=call.tool, arguments=call.arguments, expires_at=call.expires_at
    )
