"""An approval: a decision that a person owes a run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from pydantic import Field

from app.models.wire import Inbound, Outbound

ApprovalKind = Literal["tool_call", "unknown_outcome"]
ApprovalStatus = Literal["pending", "approved", "denied", "resolved", "superseded", "expired"]
Decision = Literal["approve", "deny", "edit", "happened", "repeat", "skip"]

DECISIONS: dict[str, frozenset[str]] = {
    "tool_call": frozenset({"approve", "deny", "edit"}),
    "unknown_outcome": frozenset({"happened", "repeat", "skip"}),
}
"""Which decisions each kind takes."""


def arguments_hash(arguments: Mapping[str, Any]) -> str:
    """The hash that binds an approval to exact arguments: SHA-256 over JSON with sorted keys."""
    return hashlib.sha256(json.dumps(_canonical(arguments), sort_keys=True).encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """Whole numbers in one form: the ledger gives 1e22 back as an integer."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _canonical(item) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in cast("list[Any]", value)]
    return value


@dataclass(frozen=True, slots=True)
class Approval:
    """A row of `approvals`. `arguments_hash` binds the decision to the exact arguments: those that the model asked
    for, or those that a person has put in their place (`decided_arguments`)."""

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
    reason: str | None
    taint: list[str]
    decision: Decision | None
    decided_arguments: dict[str, Any] | None
    note: str | None
    decided_by: str | None
    decided_at: datetime | None
    expires_at: datetime
    created_at: datetime


class DecisionIn(Inbound):
    """A decision. `arguments` replace the tool's arguments and come with `edit` only."""

    decision: Decision = Field(examples=["approve"])
    arguments: dict[str, Any] | None = Field(default=None, examples=[None])
    note: str | None = Field(default=None, max_length=2000, examples=["Looks right."])


class ApprovalOut(Outbound):
    """An approval. `decisions` are the ones that it takes; none once it is settled."""

    id: UUID
    run_id: UUID
    conversation_id: UUID
    kind: ApprovalKind
    status: ApprovalStatus
    decisions: list[Decision]
    tool: str = Field(examples=["http_post"])
    tool_call_id: str
    arguments: dict[str, Any]
    arguments_hash: str
    reason: str | None = Field(examples=[None], description="Why a person is asked.")
    taint: list[str] = Field(examples=[[]], description="Whose text had entered the run when it asked.")
    decision: Decision | None
    decided_arguments: dict[str, Any] | None
    note: str | None
    decided_by: str | None
    decided_at: datetime | None
    expires_at: datetime
    created_at: datetime


def approval_out(row: Approval) -> ApprovalOut:
    """The approval as clients see it."""
    offered = sorted(DECISIONS[row.kind]) if row.status == "pending" else []
    return ApprovalOut.model_validate({**{n: getattr(row, n) for n in _SHOWN}, "decisions": offered})


_SHOWN = [name for name in ApprovalOut.model_fields if name != "decisions"]
