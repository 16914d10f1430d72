"""Waiting for others: a run waits for calls that its client answers, and for runs that it began.

The last answer opens the run again in its own commit. Lock order: the run's conversation, then the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pydantic_core

from app.database.connection import Database
from app.database.unit import Unit
from app.models.awaited import AwaitedCall, AwaitedKind
from app.models.errors import Conflict, NotFound
from app.models.run import Run, RunResult, WaitingOn
from app.services import intake
from app.services.event_log import append_events

CLIENT_SECONDS = 300.0
"""How long a client has for an answer where its declaration says nothing."""

Told = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Child:
    """A run to be begun, in a conversation of its own (`order.conversation_id`) that takes after the parent's."""

    order: intake.Order
    title: str | None = None
    context_data: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Await:
    """A call that a run begins to wait for: of its client, or with `child` of a run that is begun with it."""

    tool_call_id: str
    tool: str
    step: int
    arguments: dict[str, Any]
    seconds: float | None = None
    child: Child | None = None

    @property
    def kind(self) -> AwaitedKind:
        """Who answers."""
        return "client" if self.child is None else "run"


def ok(content: Any, **more: Any) -> dict[str, Any]:
    """The outcome of a call that came to something."""
    return {"status": "ok", "content": content, **more}


def failed(why: str, **more: Any) -> dict[str, Any]:
    """The outcome of a call that came to nothing."""
    return {"status": "failed", "content": why, **more}


async def begin(unit: Unit, run: Run, wanted: Sequence[Await]) -> tuple[list[WaitingOn], list[Told]]:
    """Write what a run waits for, and begin its children, in the commit in which it goes to wait.

    Returns what it waits on and the events that tell of it.
    """
    waiting: list[WaitingOn] = []
    told: list[Told] = []
    for one in wanted:
        child = await _begin_child(unit, run, one.child) if one.child is not None else None
        call = await unit.awaited.add(
            {
                "run_id": run.id,
                "step": one.step,
                "tool_call_id": one.tool_call_id,
                "kind": one.kind,
                "tool": one.tool,
                "arguments": one.arguments,
                "child_run_id": child.id if child else None,
            },
            seconds=one.seconds,
        )
        waiting.append(waiting_on(call))
        told.append(("tool.call", _announced(call)))
    return waiting, told


async def _begin_child(unit: Unit, parent: Run, child: Child) -> Run:
    source = await unit.conversations.get(parent.conversation_id)
    assert source is not None
    conversation = await unit.conversations.add(
        {
            "id": child.order.conversation_id,
            "user_id": parent.user_id,
            "pattern": child.order.pattern,
            "agent": child.order.agent,
            "title": child.title,
            "context_data": dict(child.context_data),
            "targets": source.targets,
            "grants": source.grants,
        }
    )
    return await intake.submit(unit, child.order, conversation, on_busy="enqueue")


def waiting_on(call: AwaitedCall) -> WaitingOn:
    """What a run waits on while this call is pending."""
    if call.kind == "run":
        return WaitingOn(type="run", run_id=call.child_run_id, tool_call_id=call.tool_call_id, tool=call.tool)
    return WaitingOn(type="client_tool", tool_call_id=call.tool_call_id, tool=call.tool, until=call.expires_at)


def _announced(call: AwaitedCall) -> dict[str, Any]:
    return {
        "tool_call_id": call.tool_call_id,
        "tool": call.tool,
        "arguments": call.arguments,
        "effect": False,
        "step": call.step,
        "client": call.kind == "client",
        "child_run_id": call.child_run_id,
        "expires_at": call.expires_at,
    }


async def answer(
    unit: Unit, run_id: UUID, answers: Mapping[str, dict[str, Any]], *, answered_by: str
) -> list[AwaitedCall]:
    """Answer calls of a run by tool call id, all or none, and open the run again when nothing else is pending.

    The outcomes are of `ok` or `failed`. Raises NotFound for a run or a call that is not there, and Conflict when
    one was answered already (`already_answered`), is too late (`call_expired`) or is void (`call_void`).
    """
    run = await _locked(unit, run_id)
    settled: list[AwaitedCall] = []
    for tool_call_id, outcome in answers.items():
        call = await unit.awaited.answer(run.id, tool_call_id, outcome, answered_by)
        if call is None:
            raise await _too_late(unit, run.id, tool_call_id)
        settled.append(call)
    await _go_on(unit, run, settled)
    return settled


async def _locked(unit: Unit, run_id: UUID) -> Run:
    run = await unit.runs.get(run_id)
    if run is not None:
        await unit.conversations.lock(run.conversation_id)
        run = await unit.runs.lock(run_id)
    if run is None:
        raise NotFound(f"Run {run_id} not found.", code="run_not_found")
    return run


async def _too_late(unit: Unit, run_id: UUID, tool_call_id: str) -> Exception:
    calls = [call for call in await unit.awaited.of_run(run_id) if call.tool_call_id == tool_call_id]
    if not calls:
        return NotFound("The run waits for no such call.", code="call_not_found")
    if calls[-1].status == "answered":
        return Conflict("The call was answered already.", code="already_answered")
    if calls[-1].status == "void":
        return Conflict("The run no longer waits for this call.", code="call_void")
    return Conflict("The call has expired.", code="call_expired")


async def _go_on(unit: Unit, run: Run, settled: Sequence[AwaitedCall]) -> None:
    """Write what was settled into journal and events, and open the run when nothing of it is pending any more."""
    told: list[Told] = []
    for call in settled:
        outcome = call.outcome or {}
        done = outcome.get("status") == "ok"
        await unit.journal.add(
            run.id,
            call.step,
            call.tool_call_id,
            tool=call.tool,
            arguments=call.arguments,
            effect=False,
            repeatable=True,
            status="done" if done else "failed",
            result=outcome.get("content"),
            fence=run.fence,
        )
        content = outcome.get("content")
        summary = (content if isinstance(content, str) else pydantic_core.to_json(content).decode())[:300]
        status = "ok" if done else "failed"
        told.append(
            (
                "tool.result",
                {"tool_call_id": call.tool_call_id, "tool": call.tool, "status": status, "summary": summary},
            )
        )
    await append_events(unit, run, told)
    await intake.resume_if_free(unit, run)


async def child_ended(unit: Unit, child: Run, result: RunResult | None) -> None:
    """Tell a run what one that it began came to; for a run that nobody waits for, nothing happens.

    What strangers wrote for the child is in its answer too, so its taint goes along.
    """
    call = await unit.awaited.of_child(child.id)
    if call is None or call.status != "pending":
        return
    parent = await _locked(unit, call.run_id)
    about = {"run_status": child.status, "status_reason": child.status_reason, "taint": child.taint}
    if child.status == "completed" and result is not None:
        outcome = ok(result.text if result.data is None else result.data, text=result.text, **about)
    else:
        why = child.status_detail or "It ended without an answer."
        partial = {"text": result.text} if result is not None and result.text else {}
        outcome = failed(f"The run {child.status}: {why}", **partial, **about)
    settled = await unit.awaited.answer(parent.id, call.tool_call_id, outcome, f"run:{child.id}")
    if settled is not None:
        await _go_on(unit, parent, [settled])


async def expire_due(database: Database, *, limit: int = 100) -> int:
    """Give up calls that no client answered in time, in every workspace; their runs go on without them."""
    async with database.across() as across:
        due = await across.directory.overdue_calls(limit)
    expired = 0
    for workspace_id, run_id, _conversation_id in due:
        async with database.begin(workspace_id) as unit:
            run = await _locked(unit, run_id)
            settled = await unit.awaited.expire(run.id, failed("The application did not answer this call in time."))
            await _go_on(unit, run, settled)
            expired += len(settled)
    return expired
