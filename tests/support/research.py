"""Ordering research, following it, and waiting for what comes of it."""

import asyncio
from typing import Any
from uuid import UUID

from support.model_script import orders as orders_for_model
from support.model_server import script

from app.models.identity import Principal
from app.models.run import RunOut
from app.models.task import TaskCreate
from app.runtime import Runtime
from app.services import events, orders, runs, tasks

PATIENCE_SECONDS = 60.0


async def research(runtime: Runtime, owner: Principal, topic: str, **more: Any) -> UUID:
    """Order a piece of research; `more` are fields of the request. Returns its run."""
    wanted = TaskCreate.model_validate({"task_type": "research", "prompt": topic, **more})
    desk = orders.Desk(runtime.registry, runtime.models, runtime.guard, runtime.vault)
    async with runtime.database.begin(owner.workspace_id) as unit:
        task, _, _ = await tasks.create(unit, owner, wanted, desk=desk, once=None)
    assert task.last_run_id is not None
    return task.last_run_id


async def told(runtime: Runtime, owner: Principal, run_id: UUID) -> list[dict[str, Any]]:
    """All events of the run, up to its end."""
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for frames in events.follow(runtime.database, runtime.hub, owner.workspace_id, run_id):
            seen += [frame.event for frame in frames]
    return seen


async def done(runtime: Runtime, owner: Principal, run_id: UUID) -> RunOut:
    """The run once it has ended."""
    await told(runtime, owner, run_id)
    return (await seen(runtime, owner, [run_id]))[0]


async def seen(runtime: Runtime, owner: Principal, run_ids: list[UUID]) -> list[RunOut]:
    """Runs as a client sees them."""
    async with runtime.database.begin(owner.workspace_id) as unit:
        return await runs.show(unit, [await runs.get(unit, owner, run_id) for run_id in run_ids])


async def begun_by(runtime: Runtime, owner: Principal, run_id: UUID) -> list[RunOut]:
    """The runs that a run began, the oldest first."""
    async with runtime.database.begin(owner.workspace_id) as unit:
        rows = await runs.page(unit, owner, runs.Wanted(parent_run_id=run_id), limit=50, after=None)
        return (await runs.show(unit, rows))[::-1]


# A scripted piece of research: what planner, researchers and writer say travels in the topic.


def say(tool: str, arguments: dict[str, Any], *, delay_ms: float = 0.0) -> dict[str, Any]:
    """A step in which the model calls one tool."""
    return {"tools": [{"name": tool, "args": arguments}], "delay_ms": delay_ms}


def found(text: str, *refs: str, gaps: tuple[str, ...] = (), delay_ms: float = 0.0) -> dict[str, Any]:
    """The step in which a researcher hands in one statement, or none without references."""
    statements = [{"text": text, "refs": list(refs)}] if refs else []
    return say("final_result", {"statements": statements, "gaps": list(gaps)}, delay_ms=delay_ms)


def reported(text: str, *, delay_ms: float = 0.0) -> dict[str, Any]:
    """The step in which the writer hands in a report with one section."""
    report = {"title": "The report", "summary": text, "sections": [{"heading": "All of it", "text": text}]}
    return say("report", report, delay_ms=delay_ms)


def question(mark: str, *steps: dict[str, Any]) -> dict[str, str]:
    """A part of a plan whose researcher goes through these steps."""
    return {"title": mark, "question": f"What about {mark}?\n{script(*steps)}\nMARK: {mark}"}


def writing(*steps: dict[str, Any]) -> str:
    """Text of a finding that makes the writer go through these steps, in a form that no check of texts sees through."""
    calls = orders_for_model(*(step["tools"] for step in steps))
    return f"So it was read.\n{script(*({'obey': number} for number in range(len(steps))))}\n{calls}"


def topic(*parts: dict[str, str], mark: str = "topic", delay_ms: float = 0.0) -> str:
    """A topic whose plan has these parts."""
    return f"Everything, please.\n{script(say('plan', {'parts': list(parts)}, delay_ms=delay_ms))}\nMARK: {mark}"
