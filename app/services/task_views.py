"""Tasks as clients see them: with their schedule in words, their webhook's address, and what the latest run came to."""

from typing import Any
from uuid import UUID

from app.database.unit import Unit
from app.models.run import Usage
from app.models.task import Task, TaskOut
from app.services import timetable
from app.services.runs import answer_of

STANDING = frozenset({"scheduled", "triggered"})


async def show(unit: Unit, rows: list[Task], base_url: str) -> list[TaskOut]:
    """The tasks, each with what its latest run came to. `base_url` is where this server is reached."""
    last = [row.last_run_id for row in rows if row.last_run_id is not None]
    names = await unit.users.names([row.user_id for row in rows])
    states = await unit.tasks.last_runs(last)
    results = await unit.runs.results(last)
    used = await unit.tasks.usage([row.id for row in rows])
    return [
        TaskOut(
            **_saved(row),
            **_timing(row),
            **_outcome(row, states, results),
            user_id=names[row.user_id],
            webhook_url=f"{base_url}/tasks/webhooks/{row.id}" if row.pattern == "triggered" else None,
            usage=Usage.model_validate(used.get(row.id, {})),
        )
        for row in rows
    ]


def _saved(row: Task) -> dict[str, Any]:
    names = (
        "id",
        "agent",
        "title",
        "prompt",
        "files",
        "output_schema",
        "context_data",
        "notification_config",
        "targets",
        "limits",
        "model",
    )
    more = (
        "grants",
        "runs_made",
        "failure_streak",
        "paused_at",
        "paused_by",
        "pause_reason",
        "created_at",
        "updated_at",
    )
    after = {"task_id": row.after_task_id, "on": row.after_on} if row.after_task_id else None
    return {
        **{name: getattr(row, name) for name in (*names, *more)},
        "task_type": row.pattern,
        "options": row.options.get("research", {}),
        "trigger_config": row.trigger,
        "depends_on": after,
        "overrides": row.options.get("overrides", {}),
    }


def _timing(row: Task) -> dict[str, Any]:
    if row.schedule is None:
        return dict.fromkeys(("schedule_expression", "schedule", "description", "timezone", "next_run_at"))
    off = row.disabled_at is not None or row.paused_at is not None
    return {
        "schedule_expression": row.schedule.get("cron"),
        "schedule": row.schedule,
        "description": timetable.in_words(row.schedule),
        "timezone": row.schedule.get("timezone"),
        "next_run_at": None if off else row.next_fire_at,
    }


def _outcome(row: Task, states: dict[UUID, Any], results: dict[UUID, Any]) -> dict[str, Any]:
    state = states.get(row.last_run_id) if row.last_run_id else None
    result = results.get(row.last_run_id) if row.last_run_id else None
    return {
        "status": _status(row, state),
        "last_run_id": row.last_run_id,
        "last_run_status": state,
        "result": answer_of(result),
        "error": result.error if result else None,
    }


def _status(row: Task, state: str | None) -> str:
    if row.disabled_at is not None:
        return "disabled"
    if row.paused_at is not None:
        return "paused"
    if row.pattern in STANDING:
        return "active" if row.finished_at is None else "finished"
    return state or "idle"
