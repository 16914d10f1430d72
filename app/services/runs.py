"""Runs as people see and steer them: get, list, cancel, retry."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.database.unit import Unit
from app.models.awaited import AwaitedCall
from app.models.errors import NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.research import SourceOut
from app.models.run import Run, RunOut, RunResult, SentOut, Usage, WaitingOn
from app.services import intake, users
from app.services.awaited import waiting_on
from app.services.idempotency import Once, earlier, settle


async def get(unit: Unit, principal: Principal, run_id: UUID) -> Run:
    """The run. Raises NotFound, also for one of a user whom the principal does not stand for."""
    row = await unit.runs.get(run_id)
    if row is None:
        raise NotFound("There is no such run.", code="run_not_found")
    users.check_visible(principal, row.user_id, "run")
    return row


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs a list shows; what is None does not matter. `user_id` is the client's own id of a person."""

    status: str | None = None
    conversation_id: UUID | None = None
    task_id: UUID | None = None
    user_id: str | None = None
    parent_run_id: UUID | None = None


async def page(unit: Unit, principal: Principal, wanted: Wanted, *, limit: int, after: UUID | None) -> list[Run]:
    """Runs, the newest first."""
    whose, nobody = await users.filtered(unit, principal, wanted.user_id)
    if nobody:
        return []
    return await unit.runs.page(
        limit=limit,
        after=after,
        status=wanted.status,
        conversation_id=wanted.conversation_id,
        task_id=wanted.task_id,
        user_id=whose,
        parent_run_id=wanted.parent_run_id,
    )


async def sources(unit: Unit, principal: Principal, run_id: UUID) -> list[SourceOut]:
    """What a run fetched to cite from, cited ones first; of a research, what all its researchers fetched.

    Raises NotFound.
    """
    run = await get(unit, principal, run_id)
    below = run.id if run.trigger == "sub_run" else None
    found = await unit.sources.of_root(run.root_run_id or run.id, below)
    return [SourceOut.model_validate(source) for source in found]


async def cancel(unit: Unit, principal: Principal, run_id: UUID) -> Run:
    """Ask a run to stop; one that has ended is left as it is. Raises NotFound."""
    await get(unit, principal, run_id)
    return await intake.cancel(unit, run_id)


async def retry(unit: Unit, principal: Principal, run_id: UUID, *, once: Once | None) -> tuple[Run, bool]:
    """Try a failed or cancelled run again, as a new run; also whether an earlier request had done so.

    Raises NotFound, Conflict.
    """
    old = await get(unit, principal, run_id)
    existing = await earlier(unit, once, new_id())
    if existing is not None:
        return await get(unit, principal, existing), True
    run = await intake.retry(unit, old.id, principal.id)
    if run.task_id is not None:
        await unit.tasks.change(run.task_id, {"last_run_id": run.id})
    await settle(unit, once, run.id)
    return run, False


async def show(unit: Unit, rows: list[Run]) -> list[RunOut]:
    """Runs as clients see them, with what each came to."""
    names = await unit.users.names([row.user_id for row in rows])
    results = await unit.runs.results([row.id for row in rows])
    waiting = [row.id for row in rows if row.status == "waiting"]
    approvals, calls = await unit.approvals.pending_of(waiting), await unit.awaited.pending_of(waiting)
    total = await unit.runs.usage_below([row.id for row in rows])
    return [
        _shown(
            row,
            names[row.user_id],
            results.get(row.id),
            _waits(approvals.get(row.id), calls.get(row.id)),
            total.get(row.id, row.usage),
        )
        for row in rows
    ]


def _waits(approval_ids: list[UUID] | None, calls: list[AwaitedCall] | None) -> list[WaitingOn]:
    """What a waiting run still waits on."""
    still = [waiting_on(call) for call in calls or []]
    return [WaitingOn(type="approval", approval_ids=approval_ids), *still] if approval_ids else still


def answer_of(result: RunResult | None) -> Any:
    """What a run came to: data when its agent answers with data, else text, else nothing."""
    if result is None:
        return None
    return result.text if result.data is None else result.data


def sent_of(row: Run) -> SentOut | None:
    """What the run's model was sent last; None before it was asked."""
    sent = row.usage.get("sent")
    return SentOut(**{name: sent[name] for name in SentOut.model_fields}) if sent else None


def _shown(row: Run, user: str, result: RunResult | None, waits: list[WaitingOn], total: dict[str, Any]) -> RunOut:
    waits = waits or [WaitingOn.model_validate(entry) for entry in row.waiting_on or []]
    return RunOut(
        id=row.id,
        status=row.status,
        status_reason=row.status_reason,
        status_detail=row.status_detail,
        waiting_on=waits or None,
        conversation_id=row.conversation_id,
        task_id=row.task_id,
        pattern_type=row.pattern,
        agent=row.agent,
        agent_version=row.agent_version or None,
        model=row.model or None,
        trigger=row.trigger,
        attempt=row.attempt,
        user_id=user,
        result=answer_of(result),
        error=result.error if result else None,
        usage=Usage.model_validate(row.usage),
        context=sent_of(row),
        total_usage=Usage.model_validate(total),
        parent_run_id=row.parent_run_id,
        cancel_requested_at=row.cancel_requested_at,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
    )
