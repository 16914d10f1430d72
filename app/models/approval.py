"""An approval: a decision that a person owes a run."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

ApprovalKind = Literal["tool_call", "unknown_outcome"]
ApprovalStatus = Literal["pending", "approved", "denied", "resolved", "superseded", "expired"]
Decision = Literal["approve", "deny", "edit", "happened", "repeat", "skip"]

DECISIONS: dict[str, frozenset[str]] = {
    "tool_call": frozenset({"approve", "deny", "edit"}),
    "unknown_outcome": frozenset({"happened", "repeat", "skip"}),
}
"""Which decisions each kind takes."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A row of `approvals`. `arguments_hash` binds the decision to the exact arguments."""

    workspace_id: UUID
    id: UUID
    run_id: UUID
    conversation_id: UUID
    user_id: UUID
    kind: ApprovalKind
    status: ApprovalStatus
    tool: str
    tool_call_id: str
    step: int
    arguments: dict[str, Any]
    arguments_hash: str
    decision: Decision | None
    decided_arguments: dict[str, Any] | None
    note: str | None
    decided_by: str | None
    decided_at: datetime | None
    expires_at: datetime
    created_at: datetime
