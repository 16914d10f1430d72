"""The only birth of a run, and what people do to one that is not executing: cancel, go on, try again.

Commands: they take the unit, never commit, never wait for a network. Lock order: conversation, then run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.database.unit import Unit
from app.models.bells import CancelAsked, RunReady
from app.models.conversation import Conversation
from app.models.errors import Conflict, NotFound
from app.models.ids import new_id
from app.models.run import TERMINAL, Lane, OnBusy, Run, WaitingOn
from app.models.turn import Caps
from app.services.event_log import append_events
from app.services.steering import hand_on

IDLE = ("queued", "waiting")
HANDED_OVER = "handed_over"


@dataclass(frozen=True, slots=True)
class Order:
    """What a door wants run.

    `prompt` is None to go on with the thread as it stands. `limits` are complete: pattern, agent and caller merged.
    `checkpoints` above 0 says that the prompt stands in the log already. `more` is what the run's input holds beside
    the prompt.
    """

    conversation_id: UUID
    pattern: str
    lane: Lane
    agent: str
    agent_version: str
    model: str
    max_attempts: int
    trigger: str
    created_by: str
    prompt: str | None
    limits: dict[str, Any] = field(default_factory=dict[str, Any])
    task_id: UUID | None = None
    parent: Run | None = None
    streamed: bool = False
    checkpoints: int = 0
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: UUID = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Claimant:
    """A process that wants to run the order itself, at once, if the caps (0 = none) leave room."""

    owner: str
    lease_seconds: float
    caps: Caps


async def submit(
    unit: Unit,
    order: Order,
    conversation: Conversation | None = None,
    *,
    on_busy: OnBusy = "reject",
    claim_for: Claimant | None = None,
) -> Run:
    """Write the run. `conversation` is given by a caller that has locked its row already.

    With `claim_for` it is born running under that process' lease, unless something is before it.

    Raises NotFound for the conversation, Conflict (`conversation_busy`, `conversation_waiting`) when `on_busy` is
    reject and another run is active. Rings for a run that can be claimed.
    """
    conversation = conversation or await unit.conversations.lock(order.conversation_id)
    if conversation is None:
        raise NotFound(f"Conversation {order.conversation_id} not found.", code="conversation_not_found")
    values = _birth(order, conversation)
    if claim_for is not None:
        begun = await unit.turns.begin(values, claim_for.owner, claim_for.lease_seconds, claim_for.caps)
        if begun is not None:
            return begun
    before = await unit.runs.active_of(conversation.id)
    if before:
        claim_for = None  # what was before it may be locked here by now, and a claim waits for such locks
        before = await _make_way(unit, before, on_busy)
        values |= {"priority": 1 if on_busy == "interrupt" else 0}
    if before:
        waiting = WaitingOn(type="conversation", run_id=before[0].id)
        run = await unit.runs.add_parked({**values, "waiting_on": [waiting.model_dump(mode="json", exclude_none=True)]})
    elif claim_for is not None and await _has_room(unit, order, conversation.user_id, claim_for):
        return await unit.runs.add_running(values, claim_for.owner, claim_for.lease_seconds)
    else:
        run = await unit.runs.add(values)
        unit.ring(RunReady(run.id, run.lane))
    await append_events(unit, run, [("run.queued", {"waiting_on": run.waiting_on or []})])
    return run


def _birth(order: Order, conversation: Conversation) -> dict[str, Any]:
    parent = order.parent
    return {
        "id": order.id,
        "conversation_id": conversation.id,
        "task_id": order.task_id,
        "user_id": conversation.user_id,
        "pattern": order.pattern,
        "agent": order.agent,
        "agent_version": order.agent_version,
        "model": order.model,
        "lane": order.lane,
        "status": "queued",
        "max_attempts": order.max_attempts,
        "checkpoints": order.checkpoints,
        "priority": 0,
        "parent_run_id": parent.id if parent else None,
        "root_run_id": (parent.root_run_id or parent.id) if parent else None,
        "trigger": order.trigger,
        "input": {**order.more, "prompt": order.prompt},
        "limits": order.limits,
        "taint": sorted({*conversation.taint, *(parent.taint if parent else ())}),
        "streamed": order.streamed,
        "created_by": order.created_by,
    }


async def _has_room(unit: Unit, order: Order, user_id: UUID, claimant: Claimant) -> bool:
    of_user, of_agent, of_workspace = await unit.runs.count_running(order.lane, user_id, order.agent)
    caps = (
        (of_user, claimant.caps.per_user),
        (of_agent, claimant.caps.per_agent),
        (of_workspace, claimant.caps.per_workspace),
    )
    return all(cap == 0 or running < cap for running, cap in caps)


async def _make_way(unit: Unit, active: list[Run], on_busy: OnBusy) -> list[Run]:
    """What is still before a new run once `on_busy` was applied. Raises Conflict for reject.

    Runs that were parked behind an interrupted head stay so: the new run's end lets the next one go, as the head's
    would have.
    """
    head = active[0]
    if on_busy == "reject":
        raise await _busy(unit, head)
    if on_busy == "interrupt":
        head = await _again(unit, head.id)  # a worker may have claimed it just now
        if head.status in IDLE:
            await _end(unit, head, "superseded", "A newer message took over the conversation.", release=False)
            return []
        await unit.runs.ask_cancel(head.id, "superseded")
        unit.ring(CancelAsked(head.id))
    return active


async def _busy(unit: Unit, head: Run) -> Conflict:
    if head.status != "waiting":
        return _running(head)
    pending = await unit.approvals.of_run(head.id, status="pending")
    calls = await unit.awaited.of_run(head.id, status="pending")
    if not pending and not any(call.kind == "client" for call in calls):
        return _running(head)
    return Conflict(
        "A run of this conversation waits for a decision or for its client. Give the answer, cancel the run, or send "
        "`on_busy` interrupt.",
        code="conversation_waiting",
        extra={
            "active_run_id": str(head.id),
            "approval_ids": [str(approval.id) for approval in pending],
            "tool_call_ids": [call.tool_call_id for call in calls if call.kind == "client"],
        },
    )


def _running(head: Run) -> Conflict:
    return Conflict(
        "Another run is active here. Wait for it, cancel it, or send `on_busy` enqueue, steer or interrupt.",
        code="conversation_busy",
        extra={"active_run_id": str(head.id)},
    )


async def cancel(unit: Unit, run_id: UUID) -> Run:
    """Ask a run to stop. Queued and waiting runs are cancelled in this commit; a running one when it has stopped.

    An ended run is returned as it is. Raises NotFound.
    """
    run = await _locked(unit, run_id)
    if run.status in TERMINAL:
        return run
    if run.status in IDLE:
        return await _end(unit, run, "cancelled_by_request", "The run was cancelled before it was done.")
    await unit.runs.ask_cancel(run.id, "cancelled_by_request")
    unit.ring(CancelAsked(run.id))
    return await _again(unit, run_id)


async def resume_if_free(unit: Unit, run: Run) -> None:
    """Open a waiting run again when nothing that it waited for is pending. Its conversation and it are locked."""
    if run.status != "waiting" or await unit.approvals.of_run(run.id, status="pending"):
        return
    if not await unit.awaited.of_run(run.id, status="pending"):
        await resume(unit, run.id)


async def hand_over(unit: Unit, run_id: UUID) -> Run:
    """End a waiting run whose caller carries out its calls and goes on in a request of its own. Raises NotFound."""
    run = await _locked(unit, run_id)
    if run.status != "waiting":
        return run
    return await _end(unit, run, HANDED_OVER, "The caller carries out the calls and goes on by itself.")


async def resume(unit: Unit, run_id: UUID) -> Run | None:
    """Open a waiting run for claims again, in the commit of what it waited for last."""
    run = await unit.runs.transition(run_id, ("waiting",), "queued", available_in=0, waiting_on=None)
    if run is not None:
        unit.ring(RunReady(run.id, run.lane))
    return run


async def retry(unit: Unit, run_id: UUID, created_by: str) -> Run:
    """Try a failed or cancelled run again as a new run of the same conversation.

    It goes on from where the old one stopped when nothing was added to the conversation since, else the old input is
    sent again. Raises NotFound, and Conflict for a run that did not fail or whose conversation is busy.
    """
    old = await _locked(unit, run_id)
    if old.status not in ("failed", "cancelled"):
        raise Conflict(
            f"The run is {old.status}; only failed and cancelled runs can be retried.", code="run_not_retryable"
        )
    goes_on = await unit.conversations.head_is_request_of(old.conversation_id, old.id)
    order = Order(
        conversation_id=old.conversation_id,
        pattern=old.pattern,
        lane=_lane(old.lane),
        agent=old.agent,
        agent_version=old.agent_version,
        model=old.model,
        max_attempts=old.max_attempts,
        trigger="retry",
        created_by=created_by,
        prompt=old.input.get("prompt"),
        more=old.input,
        limits=old.limits,
        task_id=old.task_id,
        parent=old,
        checkpoints=1 if goes_on else 0,
    )
    return await submit(unit, order, on_busy="reject")


async def _end(unit: Unit, run: Run, reason: str, detail: str, *, release: bool = True) -> Run:
    """Cancel a run that no process executes: void its approvals, close its history, let the next one go."""
    ended = await unit.runs.transition(
        run.id,
        ("queued", "waiting"),
        "cancelled",
        status_reason=reason,
        status_detail=detail,
    )
    if ended is None:
        raise Conflict("The run has just moved on; ask for it again.", code="run_moved_on")
    await unit.approvals.supersede(run.id)
    await unit.awaited.void(run.id)
    for child in await unit.runs.children_of(run.id):
        await cancel(unit, child.id)
    if run.attempt > 0 or run.checkpoints > 0:
        # Late, because this is the one command that needs the message types; the scheduler never gets here.
        from app.services.history import settle

        await settle(unit, run)
        await unit.conversations.stain(run.conversation_id, run.taint)
    error = {"code": reason, "detail": detail}
    await unit.runs.record_result(run.id, text=None, data=None, error=error)
    await append_events(unit, ended, [("run.cancelled", {"status_reason": reason, "detail": detail})])
    if release:
        await release_next(unit, ended)
    else:
        await hand_on(unit, ended)
    return ended


async def release_next(unit: Unit, ended: Run) -> None:
    """Let the oldest run that was parked behind an ended one be claimed. The conversation is locked.

    Messages that the ended run never read become one run, which goes first.
    """
    following, unread = await unit.turns.release(ended.conversation_id, ended.id)
    if unread:
        await hand_on(unit, ended)
        following, _ = await unit.turns.release(ended.conversation_id, ended.id)
    if following is not None:
        unit.ring(RunReady(*following))


async def _locked(unit: Unit, run_id: UUID) -> Run:
    run = await unit.runs.get(run_id)
    if run is None:
        raise NotFound(f"Run {run_id} not found.", code="run_not_found")
    await unit.conversations.lock(run.conversation_id)
    return await _again(unit, run_id)


async def _again(unit: Unit, run_id: UUID) -> Run:
    run = await unit.runs.lock(run_id)
    if run is None:
        raise NotFound(f"Run {run_id} not found.", code="run_not_found")
    return run


def _lane(name: str) -> Lane:
    return "interactive" if name == "interactive" else "research" if name == "research" else "background"
