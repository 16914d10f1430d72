"""Approvals: a person's decision, made once, opens the run again in the same commit."""

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from app.database.connection import Database
from app.database.unit import Unit
from app.models.approval import DECISIONS, Approval, ApprovalStatus, DecisionIn, arguments_hash
from app.models.errors import Conflict, InvalidInput, NotFound
from app.models.identity import Principal
from app.services import intake, users
from app.services.event_log import append_events

_BECOMES: dict[str, ApprovalStatus] = {"approve": "approved", "edit": "approved", "deny": "denied"}


async def get(unit: Unit, principal: Principal, approval_id: UUID) -> Approval:
    """The approval. Raises NotFound, also for one of a user whom the principal does not stand for."""
    row = await unit.approvals.get(approval_id)
    if row is None:
        raise NotFound("There is no such approval.", code="approval_not_found")
    users.check_visible(principal, row.user_id, "approval")
    return row


async def page(
    unit: Unit,
    principal: Principal,
    *,
    limit: int,
    after: UUID | None,
    status: str | None = None,
    run_id: UUID | None = None,
    user_id: str | None = None,
) -> list[Approval]:
    """Approvals, the newest first; of one user when `user_id` names one."""
    whose, nobody = await users.filtered(unit, principal, user_id)
    if nobody:
        return []
    return await unit.approvals.page(limit=limit, after=after, status=status, run_id=run_id, user_id=whose)


class ToolForms(Protocol):
    """What tools take; an `AgentRegistry` knows it. Whoever only expires approvals need not."""

    def check_arguments(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the tool takes them. Raises InvalidInput."""
        ...


async def decide(
    unit: Unit, principal: Principal, approval_id: UUID, wanted: DecisionIn, *, tools: ToolForms | None = None
) -> Approval:
    """Decide a pending approval. The last one that a run waits for opens the run again, in this unit.

    Edited arguments must be ones that the tool takes, so an edit needs `tools`; policy judges them anew when the call
    is made. Raises NotFound, InvalidInput for a decision that this kind or tool does not take, and Conflict when
    somebody was faster, the run has moved on, or it is too late.
    """
    row = await get(unit, principal, approval_id)
    _check(row, wanted)
    return await settle(unit, row, wanted, decided_by=principal.id, edited=_edited(row, wanted, tools))


def _edited(row: Approval, wanted: DecisionIn, tools: ToolForms | None) -> dict[str, Any] | None:
    if wanted.arguments is None:
        return None
    if tools is None:
        raise InvalidInput("body.decision: arguments cannot be edited here.", code="decision_not_allowed")
    return tools.check_arguments(row.tool, wanted.arguments)


async def settle(
    unit: Unit, row: Approval, wanted: DecisionIn, *, decided_by: str, edited: dict[str, Any] | None = None
) -> Approval:
    """Make the decision of somebody who may; the first one counts, and from then on nothing of it changes.

    Raises Conflict.
    """
    # Whoever decides another approval of the run waits here, so that one of the two sees that nothing is open.
    await unit.conversations.lock(row.conversation_id)
    settled = await unit.approvals.settle(
        row.id,
        _BECOMES.get(wanted.decision, "resolved"),
        decision=wanted.decision,
        decided_arguments=edited,
        arguments_hash=row.arguments_hash if edited is None else arguments_hash(edited),
        note=wanted.note,
        decided_by=decided_by,
    )
    if settled is None:
        raise _too_late(await unit.approvals.get(row.id) or row)
    await _announce(unit, [settled], "approval.decided")
    return settled


def _check(row: Approval, wanted: DecisionIn) -> None:
    allowed = DECISIONS[row.kind]
    if wanted.decision not in allowed:
        raise InvalidInput(
            f"An approval of kind {row.kind} takes one of: {', '.join(sorted(allowed))}.", code="decision_not_allowed"
        )
    if (wanted.decision == "edit") is not (wanted.arguments is not None):
        raise InvalidInput("body.arguments: they come with the decision edit, and with no other.")


def _too_late(row: Approval) -> Conflict:
    if row.status in ("pending", "expired"):
        return Conflict("The approval has expired.", code="approval_expired")
    if row.status == "superseded":
        return Conflict("The run no longer waits for this approval.", code="approval_superseded")
    extra = {"decision": row.decision, "status": row.status, "decided_by": row.decided_by}
    return Conflict("The approval was decided already.", code="approval_already_decided", extra=extra)


async def expire_due(database: Database, *, limit: int = 100) -> int:
    """Expire what is overdue, in every workspace, each run in a unit of its own; how many approvals that were.

    The clock of the upkeep calls this.
    """
    async with database.across() as across:
        due = await across.directory.overdue_approvals(limit)
    expired = 0
    for workspace_id, run_id, conversation_id in due:
        async with database.begin(workspace_id) as unit:
            expired += len(await expire(unit, run_id, conversation_id))
    return expired


async def expire(unit: Unit, run_id: UUID, conversation_id: UUID) -> list[Approval]:
    """Expire the run's approvals whose time is over; they count as denied and the run goes on without them."""
    await unit.conversations.lock(conversation_id)
    expired = await unit.approvals.expire(run_id)
    if expired:
        await _announce(unit, expired, "approval.expired")
    return expired


async def _announce(unit: Unit, settled: list[Approval], type_: str) -> None:
    """Write the events; resume the run when nothing else of it is open. The conversation is locked."""
    run_id = settled[0].run_id
    run = await unit.runs.lock(run_id)
    if run is None:
        return
    facts = [
        (
            type_,
            {"approval_id": row.id, "status": row.status, "decision": row.decision, "decided_by": row.decided_by}
            if type_ == "approval.decided"
            else {"approval_id": row.id},
        )
        for row in settled
    ]
    await append_events(unit, run, facts)
    await intake.resume_if_free(unit, run)
