"""What people said to a run in their own words: what policy may take for a person's wish."""

from collections.abc import Sequence

from pydantic_ai.messages import ModelMessage

from app.database.connection import Database
from app.models.run import Run
from app.services.history import prompts_of

_ASKED_AS_SAVED = frozenset({"api", "execute", "schedule", "backfill"})
"""Triggers of runs that are asked nothing but what a person saved with the task."""


async def words_of(database: Database, run: Run, messages: Sequence[ModelMessage]) -> str:
    """Not what a webhook or an earlier task has put into a prompt, and not what a model wrote for a run it began."""
    if run.trigger == "sub_run":
        return str(run.input.get("words") or "")
    own = run.input.get("prompt") or ""
    if run.task_id is not None and run.trigger not in _ASKED_AS_SAVED:
        async with database.begin(run.workspace_id) as unit:
            task = await unit.tasks.get(run.task_id)
        return task.prompt if task else ""
    if run.lane != "interactive":
        return own
    return "\n".join([*prompts_of(messages), own])


def began_by(run: Run) -> str:
    """What began the run, or the one that it works for."""
    return str(run.input.get("began_by") or run.trigger)
