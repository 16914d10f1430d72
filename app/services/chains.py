"""Chains: a task that runs after another one and is given its result."""

import re
from uuid import UUID

from app.database.unit import Unit
from app.models.errors import InvalidInput
from app.models.run import Run, RunResult
from app.models.schedule import Outcome
from app.models.task import Task
from app.services.launch import Launch, begin

MOST_LINKS = 100
MOST_CHARACTERS = 300_000
_MARK = re.compile(r"<(?=[\s/]*earlier_result)", re.IGNORECASE)
_OUTCOME = {"completed": "success", "failed": "failure"}


async def check(unit: Unit, task_id: UUID, after: UUID) -> None:
    """Refuse to let a task run after another one if that leads back to it, or if there is no such task.

    Raises InvalidInput. Edits of chains wait for each other, so that two of them cannot close a circle together.
    """
    await unit.tasks.lock_chains()
    at: UUID | None = after
    for _ in range(MOST_LINKS):
        if at is None:
            return
        if at == task_id:
            raise InvalidInput("depends_on.task_id: the tasks would wait for each other.", code="chain_is_circle")
        row = await unit.tasks.get(at)
        if row is None and at == after:
            raise InvalidInput("depends_on.task_id: there is no such task.", code="task_not_found")
        at = row.after_task_id if row else None
    raise InvalidInput(f"depends_on.task_id: a chain has at most {MOST_LINKS} tasks.", code="chain_too_long")


async def after_run(unit: Unit, task: Task, run: Run, result: RunResult | None) -> None:
    """Begin the tasks that run after this one. Those that are paused or disabled say so in their occurrences."""
    outcome = _OUTCOME.get(run.status)
    for child in await unit.tasks.following(task.id):
        if child.after_on not in ("any", outcome):
            continue
        off = _off(child)
        launch = Launch(child, "chain", f"task:{task.id}", _prompt(child, run, result), parent=run)
        if off is None:
            await begin(unit, [launch])
        await unit.occurrences.note_chained(
            child.id,
            run.completed_at or run.created_at,
            outcome="run" if off is None else off[0],
            reason=f"After run {run.id} of task {task.id} ({run.status})." if off is None else off[1],
            run_id=launch.run_id if off is None else None,
        )


def _off(child: Task) -> tuple[Outcome, str] | None:
    if child.disabled_at is not None:
        return "skipped_disabled", "The task was disabled."
    if child.paused_at is not None:
        return "skipped_paused", f"The task was paused: {child.pause_reason or 'no reason was given'}."
    return None


def _prompt(child: Task, run: Run, result: RunResult | None) -> str:
    """The child's own words, then the outcome before it, marked as data."""
    said = (result.text if result else None) or run.status_detail or run.status
    cut = f"{said[:MOST_CHARACTERS]}\n… cut" if len(said) > MOST_CHARACTERS else said
    data = _MARK.sub("&lt;", cut)
    return (
        f"{child.prompt}\n\nWhat came of the task before ({run.status}), as data:\n"
        f"<earlier_result>\n{data}\n</earlier_result>"
    )
