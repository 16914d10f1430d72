"""Firing what is due: one transaction a round, any number of processes, each due time once.

The ledger decides: due tasks are locked past those that others hold, and (task, due time) is unique.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from app.database.connection import Database
from app.database.stores.timetable import Due
from app.database.unit import Across, Unit
from app.models.bells import CancelAsked
from app.models.errors import Unavailable
from app.models.run import TERMINAL
from app.models.task import Task
from app.services import intake, launch
from app.services.occurrences import Verdict, decide

log = structlog.get_logger(__name__)

BATCH = 200
POSTPONE_SECONDS = 60.0
LEAST_SECONDS = 0.02
"""How soon to look again at what is overdue and held by another process."""


@dataclass(frozen=True, slots=True)
class Fired:
    """How many tasks were due, and when the next one is: the moment, and the seconds until then (None: never)."""

    count: int
    next_at: datetime | None
    seconds: float | None


async def fire_due(database: Database, *, limit: int = BATCH) -> Fired:
    """Fire everything that is due now, `limit` tasks a transaction. Raises Unavailable when the database is away.

    A task that cannot be fired never stops the others: it is looked at again a minute later.
    """
    count = 0
    while True:
        fired = await _round(database, limit)
        count += fired
        if fired < limit:
            break
    next_at, seconds = await next_due(database)
    return Fired(count, next_at, seconds)


async def next_due(database: Database) -> tuple[datetime | None, float | None]:
    """When the next task fires, and in how many seconds from now, by the ledger's clock. Raises Unavailable."""
    async with database.across() as unit:
        found = await unit.timetable.next()
    return (found[0], max(found[1], LEAST_SECONDS)) if found else (None, None)


async def _round(database: Database, limit: int) -> int:
    try:
        async with database.across() as unit:
            batch = await unit.timetable.due(limit)
            await _fire(unit, batch)
    except Unavailable:
        raise
    except Exception:
        log.exception("firing.round_failed")
        return await _one_by_one(database, limit)
    return len(batch)


async def _one_by_one(database: Database, limit: int) -> int:
    """Fire each due task in a transaction of its own, so that only the one at fault is left behind."""
    async with database.across() as unit:
        due = await unit.timetable.due_ids(limit)
    for workspace_id, task_id in due:
        try:
            async with database.across() as unit:
                await _fire(unit, await unit.timetable.take(workspace_id, task_id))
        except Unavailable:
            raise
        except Exception:
            log.exception("firing.task_failed", task_id=str(task_id))
            async with database.across() as unit:
                await unit.timetable.postpone(workspace_id, task_id, POSTPONE_SECONDS)
    return len(due)


async def _fire(unit: Across, batch: Sequence[Due]) -> None:
    """Decide on every due task and write it all down."""
    for task, _ in batch:
        if task.schedule is None:
            await _fire_debounced(unit, task)
    verdicts = await _verdicts(unit, [due for due in batch if due.task.schedule is not None])
    recorded = await unit.timetable.record([row for verdict in verdicts for row in verdict.rows])
    known = {row.run_id for verdict in verdicts for row in verdict.rows if (row.task_id, row.due_at) in recorded}
    for verdict in verdicts:
        if any(one.run_id in known for one in verdict.launches):
            for run_id in verdict.stops:
                await _stop(unit, verdict.advance.task.workspace_id, run_id)
    await launch.begin(unit, [one for verdict in verdicts for one in verdict.launches if one.run_id in known])
    await unit.timetable.advance([verdict.advance for verdict in verdicts])


async def _verdicts(unit: Across, batch: Sequence[Due]) -> list[Verdict]:
    """What becomes of each task's due times, given what is active now."""
    careful = [due.task for due in batch if _overlap(due.task) != "allow"]
    active = await unit.timetable.active_runs(careful)
    waiting = await unit.timetable.waiting([one for one in careful if one.id in active])
    return [decide(due.task, due.now, active.get(due.task.id, []), waiting=due.task.id in waiting) for due in batch]


def _overlap(task: Task) -> str:
    return str((task.schedule or {}).get("overlap", "skip"))


async def _fire_debounced(unit: Across, task: Task) -> None:
    """A triggered task whose quiet time is over."""
    from app.services import webhooks

    await webhooks.fire_debounced(unit, task)


async def _stop(across: Across, workspace_id: UUID, run_id: UUID) -> None:
    """Cancel a run that the next one takes over from.

    One with a history is closed by a worker: what that needs is not in this process.
    """
    unit = Unit(across.connection, workspace_id)
    run = await unit.runs.get(run_id)
    if run is None:
        return
    await unit.conversations.lock(run.conversation_id)
    run = await unit.runs.lock(run_id)
    if run is None or run.status in TERMINAL:
        return
    if run.status in intake.IDLE and run.attempt == 0 and run.checkpoints == 0:
        await intake.cancel(unit, run_id)
    else:
        await unit.runs.ask_cancel(run_id, "superseded")
        unit.ring(CancelAsked(run_id))
        if run.status == "waiting":
            await unit.approvals.supersede(run_id)
            await intake.resume(unit, run_id)
    for bell in unit.bells:
        across.ring(bell)
