"""Schedules as people see and steer them: preview, pause, resume, backfill, what became of each due time.

The scheduler process uses this too: nothing here knows agents.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Literal
from uuid import UUID

from app.database.unit import Unit
from app.models.errors import Conflict, InvalidInput, NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.run import Run
from app.models.schedule import (
    BackfilledOut,
    BackfillIn,
    BackfillOut,
    Occurrence,
    OccurrenceOut,
    Outcome,
    PreviewIn,
    PreviewOut,
    ScheduleIn,
)
from app.models.task import Task
from app.services import launch, users
from app.services.timetable import HORIZON, BadSchedule, Timetable, describe, first, preview, timetable, usable

MOST_BACKFILLED = 100
MOST_SEEN = 10_000
"""How many due times a backfill looks at."""
RAN: tuple[Outcome, ...] = ("run", "waiting")


async def show(unit: Unit, wanted: PreviewIn, *, min_seconds: float) -> PreviewOut:
    """The schedule in words and its next due times. Raises InvalidInput for one that cannot be used."""
    after = wanted.after or await unit.occurrences.now()
    if not _year_is_usable(after):
        raise InvalidInput("body.after: give a moment between 1970 and 2200.")
    table = usable(wanted.schedule, now=after, min_seconds=min_seconds)
    return PreviewOut(description=describe(wanted.schedule), occurrences=preview(table, after, wanted.count))


def _year_is_usable(moment: datetime) -> bool:
    return 1970 < moment.year < 2200


async def page(
    unit: Unit, principal: Principal, task_id: UUID, *, limit: int, after: UUID | None, outcome: Outcome | None
) -> list[Occurrence]:
    """Due times of the task and what became of them, the latest first. Raises NotFound."""
    task = _seen(principal, await unit.tasks.get(task_id))
    return await unit.occurrences.page(task.id, limit=limit, after=after, outcome=outcome)


def shown(row: Occurrence) -> OccurrenceOut:
    """An occurrence as clients see it."""
    late = (row.recorded_at - row.fire_at).total_seconds() if row.kind == "schedule" else None
    return OccurrenceOut(
        due_at=row.due_at,
        fire_at=row.fire_at,
        kind=row.kind,
        outcome=row.outcome,
        reason=row.reason,
        run_id=row.run_id,
        late_seconds=late,
        recorded_at=row.recorded_at,
    )


async def pause(unit: Unit, principal: Principal, task_id: UUID, reason: str | None) -> Task:
    """Let the task begin no runs until it is resumed; its due times are skipped with the reason. Raises NotFound.

    Pausing a paused task gives it the new reason.
    """
    task = _seen(principal, await unit.tasks.lock(task_id))
    now = await unit.occurrences.now()
    values = {"paused_at": task.paused_at or now, "paused_by": principal.id, "pause_reason": reason}
    changed = await unit.tasks.change(task.id, values)
    await unit.occurrences.announce()
    return _seen(principal, changed)


async def resume(unit: Unit, principal: Principal, task_id: UUID) -> Task:
    """Let a paused task go on; its count of failures starts anew. Raises NotFound, InvalidInput (broken schedule)."""
    task = _seen(principal, await unit.tasks.lock(task_id))
    if task.paused_at is None:
        return task
    values = {"paused_at": None, "paused_by": None, "pause_reason": None, "failure_streak": 0}
    if task.schedule is not None and task.next_due_at is None and task.finished_at is None:
        # The clock had given up on it; what may be wrong with it is told now.
        now = await unit.occurrences.now()
        due, fire = first(ScheduleIn.model_validate(task.schedule), now=now, min_seconds=0, task_id=task.id)
        values |= {"next_due_at": due, "next_fire_at": fire}
    changed = await unit.tasks.change(task.id, values)
    await unit.occurrences.announce()
    return _seen(principal, changed)


async def backfill(unit: Unit, principal: Principal, task_id: UUID, wanted: BackfillIn) -> BackfillOut:
    """Run the task for its due times of the past that did not run, or list them in a dry run.

    At most 100 at once, the oldest first. Overlap and pause are not asked: who makes up for something wants it run.
    Raises NotFound, Conflict for a task without a schedule or a disabled one, InvalidInput.
    """
    task = _seen(principal, await unit.tasks.lock(task_id))
    if task.schedule is None:
        raise Conflict("Only a scheduled task has due times to make up for.", code="task_not_scheduled")
    if task.disabled_at is not None and not wanted.dry_run:
        raise Conflict("The task is disabled. Enable it first.", code="task_disabled")
    _check_range(wanted, await unit.occurrences.now())
    dues = _dues(_table(task, await unit.occurrences.latest(task.id)), wanted)
    known = await unit.occurrences.between(task.id, wanted.since, wanted.until)
    open_ = [due for due in dues if known.get(due) not in RAN]
    todo, more = open_[:MOST_BACKFILLED], len(open_) > MOST_BACKFILLED
    begun = {} if wanted.dry_run else await _begin(unit, principal, task, todo)
    rows = [BackfilledOut(due_at=due, outcome=known.get(due), run_id=begun.get(due)) for due in todo]
    return BackfillOut(dry_run=wanted.dry_run, occurrences=rows, has_more=more)


def _check_range(wanted: BackfillIn, now: datetime) -> None:
    if wanted.since > wanted.until:
        raise InvalidInput("body.from: this is after body.to.")
    if wanted.until > now:
        raise InvalidInput("body.to: this is in the future.")
    if wanted.since < now - HORIZON:
        raise InvalidInput("body.from: this is more than five years ago.")


def _table(task: Task, latest: datetime | None) -> Timetable:
    """The task's timetable; its steps go through its next due time, or the latest one when it is finished."""
    anchor = task.next_due_at or latest or task.created_at
    try:
        return timetable(ScheduleIn.model_validate(task.schedule), anchor)
    except BadSchedule as error:
        raise Conflict(f"The schedule is broken: {error}.", code="schedule_broken") from None


def _dues(table: Timetable, wanted: BackfillIn) -> list[datetime]:
    before = wanted.since.astimezone(UTC) - datetime.resolution
    found: list[datetime] = []
    for due in islice(table.walk(before), MOST_SEEN):
        if due > wanted.until:
            return found
        found.append(due)
    raise InvalidInput(f"body.to: more than {MOST_SEEN} due times lie between; ask for a shorter time.")


async def _begin(unit: Unit, principal: Principal, task: Task, dues: Sequence[datetime]) -> dict[datetime, UUID]:
    """Begin a run for each due time that nobody has run meanwhile."""
    launches = {due: launch.Launch(task=task, trigger="backfill", created_by=principal.id) for due in dues}
    rows = [(new_id(), one.run_id, due) for due, one in launches.items()]
    made = await unit.occurrences.make_up(task.id, rows)
    await launch.begin(unit, [one for one in launches.values() if one.run_id in made])
    return {due: one.run_id for due, one in launches.items() if one.run_id in made}


async def after_run(unit: Unit, task: Task, run: Run) -> Literal["paused", "recovered"] | None:
    """Follow up an ended run of the task, whose row the caller has locked: count failures, let a waiting one begin.

    Returns `paused` when it was one failure too many, `recovered` for a success after failures, else None.
    """
    moment: Literal["paused", "recovered"] | None = None
    paused = task.paused_at is not None
    if run.status == "completed" and task.failure_streak > 0:
        await unit.tasks.change(task.id, {"failure_streak": 0})
        moment = "recovered"
    elif run.status == "failed":
        values = {"failure_streak": task.failure_streak + 1, **await _one_too_many(unit, task, run)}
        await unit.tasks.change(task.id, values)
        moment = "paused" if "paused_at" in values else None
        paused = paused or moment == "paused"
    await _let_go(unit, task, paused=paused)
    return moment


async def _one_too_many(unit: Unit, task: Task, run: Run) -> dict[str, object]:
    most = (task.schedule or {}).get("pause_after_failures")
    if not isinstance(most, int) or task.failure_streak + 1 < most or task.paused_at is not None:
        return {}
    why = run.status_detail or run.status_reason or "no reason is known"
    times = "a failure" if most == 1 else f"{most} failures in a row"
    return {
        "paused_at": await unit.occurrences.now(),
        "paused_by": "system",
        "pause_reason": f"Paused after {times}. The last one: {why}"[:1_000],
    }


async def _let_go(unit: Unit, task: Task, *, paused: bool) -> None:
    """Begin the run of the occurrence that waited for the one that has ended (overlap: queue_one)."""
    if task.schedule is None:
        return
    waiting = await unit.occurrences.take_waiting(task.id)
    if waiting is None:
        return
    if task.disabled_at is not None or paused:
        outcome: Outcome = "skipped_disabled" if task.disabled_at is not None else "skipped_paused"
        reason = "The task was paused or disabled before the run before it had ended."
        await unit.occurrences.settle(waiting.id, outcome, reason=reason)
        return
    if await unit.occurrences.has_active_run(task.id):
        return
    one = launch.Launch(task=task, trigger="schedule", created_by="scheduler")
    await unit.occurrences.settle(waiting.id, "run", reason="Waited for the run before it.", run_id=one.run_id)
    await launch.begin(unit, [one])


def _seen(principal: Principal, row: Task | None) -> Task:
    if row is None:
        raise NotFound("There is no such task.", code="task_not_found")
    users.check_visible(principal, row.user_id, "task")
    return row
