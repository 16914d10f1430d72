"""From a saved task to runs of it, many at once, in processes that know no agents: the clock, webhooks, chains.

Such a run names its agent only: version, model and limits are settled by the executor that first claims it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.agents.patterns import PATTERNS
from app.database.unit import Across, Unit
from app.models.bells import RunReady
from app.models.frames import EventBatch, EventHead, frame
from app.models.ids import new_id
from app.models.run import Run
from app.models.task import Task
from app.models.turn import Birth

UNSETTLED = ""
"""What stands for agent version and model until the run is first claimed."""

RUNS_A_BELL = 8
"""Runs that are born together share bells: whoever hears one claims as many runs as there is room for."""

_PATTERNS = {pattern.name: pattern for pattern in PATTERNS}


@dataclass(frozen=True, slots=True)
class Launch:
    """One run to begin. `prompt` null means the task's own; `taint` names what outsiders could write into it."""

    task: Task
    trigger: str
    created_by: str
    prompt: str | None = None
    taint: tuple[str, ...] = ()
    parent: Run | None = None
    run_id: UUID = field(default_factory=new_id)


async def begin(unit: Unit | Across, launches: Sequence[Launch]) -> None:
    """Write the runs, each in a conversation of its own, note the last one at its task, and ring for them.

    The caller decides whether a task may run: nothing is checked here.
    """
    births = [_birth(launch) for launch in launches]
    await unit.births.add(births)
    for one in births[::RUNS_A_BELL]:
        unit.ring(RunReady(one.run["id"], one.run["lane"]))


def _birth(launch: Launch) -> Birth:
    task, conversation_id = launch.task, new_id()
    head = EventHead(launch.run_id, conversation_id, 0)
    queued = frame(head, 1, "run.queued", {"waiting_on": []})
    conversation = {
        "workspace_id": task.workspace_id,
        "id": conversation_id,
        "user_id": task.user_id,
        "pattern": task.pattern,
        "agent": task.agent,
        "title": task.title,
        "context_data": task.context_data,
        "targets": task.targets,
        "grants": task.grants,
    }
    return Birth(conversation, _run(launch, conversation_id), EventBatch.of([queued]))


def more_of(task: Task) -> dict[str, Any]:
    """What the input of the task's runs holds beside the prompt."""
    more: dict[str, Any] = {}
    if task.files:
        more["files"] = [str(file_id) for file_id in task.files]
    if task.output_schema is not None:
        more["output_schema"] = task.output_schema
    if "research" in task.options:
        more["options"] = task.options["research"]
    if task.options.get("overrides"):
        more["overrides"] = task.options["overrides"]
    return more


def _run(launch: Launch, conversation_id: UUID) -> dict[str, Any]:
    task, parent, pattern = launch.task, launch.parent, _PATTERNS[launch.task.pattern]
    return {
        "workspace_id": task.workspace_id,
        "id": launch.run_id,
        "conversation_id": conversation_id,
        "task_id": task.id,
        "user_id": task.user_id,
        "pattern": task.pattern,
        "agent": task.agent,
        "agent_version": UNSETTLED,
        "model": task.model or UNSETTLED,
        "lane": pattern.lane,
        "status": "queued",
        "max_attempts": pattern.max_attempts,
        "last_seq": 1,
        "parent_run_id": parent.id if parent else None,
        "root_run_id": (parent.root_run_id or parent.id) if parent else None,
        "trigger": launch.trigger,
        "input": {**more_of(task), "prompt": launch.prompt or task.prompt},
        "limits": task.limits,
        "taint": list(dict.fromkeys([*(parent.taint if parent else ()), *launch.taint])),
        "created_by": launch.created_by,
    }
