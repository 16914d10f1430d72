"""What makes the runs of a task besides people: its schedule, its webhook, the task it runs after."""

from typing import Any
from uuid import UUID

from app.database.unit import Unit
from app.models.errors import InvalidInput
from app.models.schedule import ScheduleIn
from app.models.task import Task, TaskCreate, TaskPatch
from app.models.trigger import TriggerConfig, needs_secret
from app.services import chains, timetable, webhook_secrets
from app.services.orders import Desk

_BELONGS = {
    "schedule": "scheduled",
    "schedule_expression": "scheduled",
    "trigger_config": "triggered",
    "depends_on": "delegation",
}
FIELDS = frozenset(_BELONGS)
"""Fields of the wire that are stored by this module."""


async def of_new(unit: Unit, wanted: TaskCreate, task_id: UUID, desk: Desk) -> dict[str, Any]:
    """The columns for a new task. Raises InvalidInput, naming the field, for what its pattern cannot use."""
    _check_fields(wanted.task_type, wanted)
    if wanted.task_type == "scheduled":
        schedule = _schedule(wanted)
        if schedule is None:
            raise InvalidInput("body.schedule: a scheduled task needs a schedule or a schedule_expression.")
        return await _timed(unit, schedule, task_id, desk)
    if wanted.task_type == "triggered":
        return {"trigger": (wanted.trigger_config or TriggerConfig()).stored()}
    return await _chained(unit, wanted, task_id)


async def secret_of_new(unit: Unit, wanted: TaskCreate, task_id: UUID, desk: Desk) -> str | None:
    """Make the secret of a new triggered task, where it must have one; the row of the task is there."""
    config = wanted.trigger_config or TriggerConfig()
    if wanted.task_type != "triggered" or not needs_secret(config, production=desk.production):
        return None
    return await webhook_secrets.new_secret(unit, desk.vault, task_id, config.secret)


async def of_change(unit: Unit, row: Task, wanted: TaskPatch, desk: Desk) -> dict[str, Any]:
    """The columns that a change sets. Raises InvalidInput."""
    _check_fields(row.pattern, wanted)
    schedule = _schedule(wanted)
    if schedule is not None:
        return await _timed(unit, schedule, row.id, desk)
    if wanted.trigger_config is not None:
        await _check_secret(unit, row, wanted.trigger_config, desk)
        return {"trigger": wanted.trigger_config.stored()}
    return await _chained(unit, wanted, row.id)


def _check_fields(pattern: str, wanted: TaskCreate | TaskPatch) -> None:
    for name, owner in _BELONGS.items():
        if name not in wanted.model_fields_set or pattern == owner:
            continue
        if getattr(wanted, name) is not None:
            raise InvalidInput(f"body.{name}: only {owner} tasks have one; this one is {pattern}.")


def _schedule(wanted: TaskCreate | TaskPatch) -> ScheduleIn | None:
    """The schedule in its one form; the expression alone is cron in UTC."""
    if wanted.schedule is not None and wanted.schedule_expression is not None:
        raise InvalidInput("body.schedule_expression: give it or a schedule, not both.")
    if wanted.schedule_expression is not None:
        return ScheduleIn(cron=wanted.schedule_expression)
    return wanted.schedule


async def _timed(unit: Unit, schedule: ScheduleIn, task_id: UUID, desk: Desk) -> dict[str, Any]:
    now = await unit.tasks.now()
    due, fire = timetable.first(schedule, now=now, min_seconds=desk.min_seconds, task_id=task_id)
    await unit.occurrences.announce()
    # With its nulls: `pause_after_failures: null` is not the same as leaving it out.
    return {
        "schedule": schedule.model_dump(mode="json"),
        "next_due_at": due,
        "next_fire_at": fire,
        "runs_made": 0,
        "finished_at": None,
    }


async def _chained(unit: Unit, wanted: TaskCreate | TaskPatch, task_id: UUID) -> dict[str, Any]:
    if "depends_on" not in wanted.model_fields_set:
        return {}
    if wanted.depends_on is None:
        return {"after_task_id": None, "after_on": None}
    await chains.check(unit, task_id, wanted.depends_on.task_id)
    return {"after_task_id": wanted.depends_on.task_id, "after_on": wanted.depends_on.on}


async def _check_secret(unit: Unit, row: Task, config: TriggerConfig, desk: Desk) -> None:
    if config.secret is not None:
        raise InvalidInput(
            f"body.trigger_config.secret: POST /tasks/{row.id}/webhook/rotate changes it, so that the one before "
            "stays valid for a while."
        )
    if needs_secret(config, production=desk.production) and not await webhook_secrets.exists(unit, row.id):
        raise InvalidInput(
            f"body.trigger_config.scheme: the task has no secret yet; POST /tasks/{row.id}/webhook/rotate makes one."
        )
