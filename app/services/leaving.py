"""Leaving a run: what an attempt writes in its last commit, one way per kind of ending."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol
from uuid import UUID

from pydantic_ai.conversation_store import ConversationRecord
from pydantic_ai.messages import ModelMessage, ModelResponse, UserContent
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from app.database.stores.entries import FORMAT, document, usage_of
from app.database.unit import Unit
from app.models.approval import Approval
from app.models.bells import RunReady
from app.models.errors import LeaseLost
from app.models.frames import EventBatch
from app.models.ids import new_id
from app.models.run import Run, RunResult, WaitingOn
from app.models.turn import Completion
from app.services import awaited, history
from app.services.ending import Ending, Told, public_usage
from app.services.intake import release_next
from app.services.news import News

APPROVAL_DAYS = 14


class Leaver(Protocol):
    """What leaving needs of an attempt."""

    run: Run
    messages: list[ModelMessage]
    record: ConversationRecord
    result: RunResult | None
    tainted: set[str]
    news: News

    @property
    def revision(self) -> UUID | None:
        """The log's revision; None while there is no log."""
        ...

    @property
    def prompt(self) -> str | Sequence[UserContent] | None:
        """The input, as long as it does not stand in the log."""
        ...

    @property
    def seconds(self) -> float:
        """How long the run has been executing."""
        ...

    def new_messages(self) -> list[ModelMessage]:
        """Messages that are not in the log yet."""
        ...

    def total_usage(self) -> RunUsage:
        """What the conversation has used with this run."""
        ...

    def progress(self) -> dict[str, Any]:
        """The run's columns that move with every commit."""
        ...

    def take(self, *last: Told) -> EventBatch | None:
        """Events for this commit."""
        ...

    async def append(
        self, unit: Unit, messages: Sequence[ModelMessage], ids: Sequence[UUID], deferred: DeferredToolRequests | None
    ) -> Any:
        """Append to the log."""
        ...

    async def held(self, unit: Unit) -> Run:
        """The run, if its lease still holds. Raises LeaseLost."""
        ...

    async def store(self, unit: Unit, batch: EventBatch | None) -> None:
        """Store a batch of events."""
        ...

    async def store_late(self, unit: Unit, *last: Told) -> None:
        """Store events that could only be told once other rows were written."""
        ...


async def leave(attempt: Leaver, unit: Unit, ending: Ending) -> Run:
    """Write the ending in the unit. Raises LeaseLost."""
    if ending.to == "completed":
        return await _complete(attempt, unit, ending)
    await unit.conversations.lock(attempt.run.conversation_id)
    if ending.to == "queued":
        return await _hand_back(attempt, unit, ending)
    return await _stop(attempt, unit, ending)


async def _complete(attempt: Leaver, unit: Unit, ending: Ending) -> Run:
    """The way of most runs, in as few statements as it takes."""
    messages = attempt.new_messages()
    ids = [new_id() for _ in messages]
    head = UUID(attempt.record.head_id) if attempt.record.head_id else None
    responses = [made for made, message in zip(ids, messages, strict=True) if isinstance(message, ModelResponse)]
    # Data is given through a tool call, so its response was checkpointed and only the call's result is new.
    entry_id = responses[-1] if responses else head
    progress = attempt.progress()
    answer = {"text": ending.text, "data": ending.data}
    told = {"result": answer, "usage": public_usage(progress["usage"]), "message_id": entry_id}
    batch = attempt.take(
        ("message.completed", {"message_id": entry_id, "text": ending.text or ""}), ("run.completed", told)
    )
    assert batch is not None
    done = Completion(
        progress=progress,
        ids=ids,
        messages=[document(message) for message in messages],
        format=FORMAT,
        revision=new_id(),
        usage=usage_of(attempt.total_usage()),
        text=ending.text,
        data=ending.data,
        entry_id=entry_id,
        events=batch,
    )
    run = await unit.turns.complete(attempt.run, head, attempt.revision, done)
    if run is None:
        raise LeaseLost
    await attempt.news.delivered(unit, attempt.new_messages())
    await release_next(unit, run)
    attempt.result = RunResult(
        run.workspace_id, run.id, **answer, error=None, entry_id=entry_id, created_at=run.created_at
    )
    return run


async def _hand_back(attempt: Leaver, unit: Unit, ending: Ending) -> Run:
    """Queue the run again at its last checkpoint: for a retry, or because this process stops."""
    values: dict[str, Any] = {"usage": {**attempt.run.usage, "seconds": round(attempt.seconds, 3)}}
    if not ending.counts:
        values["attempt"] = attempt.run.attempt - 1
    run = await _move(attempt, unit, ending, **values)
    last: Told
    if ending.reason is None:
        last = ("run.queued", {"waiting_on": []})
    else:
        waiting = WaitingOn(type="retry", until=run.available_at, detail=ending.detail)
        await unit.runs.wait_for(run.id, [waiting.model_dump(mode="json", exclude_none=True)])
        last = ("run.retrying", {"until": run.available_at, "reason": ending.reason, "detail": ending.detail})
    await attempt.store_late(unit, last)
    unit.ring(RunReady(run.id, run.lane))
    return run


async def _stop(attempt: Leaver, unit: Unit, ending: Ending) -> Run:
    """Leave the run failed, cancelled or waiting, with a history that can go on."""
    if ending.to == "cancelled":
        ending = replace(ending, reason=(await attempt.held(unit)).status_reason or ending.reason)
    values: dict[str, Any] = {} if ending.state is None else {"state": ending.state}
    if ending.to == "waiting":
        # Waiting is no failure: it leaves as many tries as there were.
        values["max_attempts"] = attempt.run.max_attempts + 1
    run = await _move(attempt, unit, ending, **attempt.progress(), **values)
    closing: list[ModelMessage] = []
    if ending.to != "waiting":
        await unit.journal.close(run.id, "unknown")
        nothing_new = not attempt.new_messages()
        journal = await unit.journal.of_run(run.id)
        step = history.step_of(attempt.messages, run.id)
        closing = history.close(attempt.messages, journal, attempt.prompt if nothing_new else None, step=step)
    messages = [*attempt.new_messages(), *closing]
    await attempt.append(unit, messages, [new_id() for _ in messages], ending.deferred)
    await attempt.news.delivered(unit, attempt.new_messages())
    if ending.to == "waiting":
        await attempt.store_late(unit, *ending.told, *await _ask(unit, run, ending))
        return run
    error = {"code": ending.reason, "detail": ending.detail}
    await unit.runs.record_result(run.id, text=ending.text, data=ending.data, error=error, entry_id=None)
    outcome = {"result": {"text": ending.text, "data": ending.data}, "usage": public_usage(run.usage)}
    told = {"status_reason": ending.reason, "detail": ending.detail}
    await attempt.store_late(unit, (f"run.{ending.to}", {**outcome, **told}))
    await release_next(unit, run)
    return run


async def _move(leaver: Leaver, unit: Unit, ending: Ending, /, **values: Any) -> Run:
    run = await unit.runs.transition(
        leaver.run.id,
        ("running",),
        ending.to,
        fence=leaver.run.fence,
        available_in=ending.available_in,
        status_reason=ending.reason,
        status_detail=ending.detail,
        **values,
    )
    if run is None:
        raise LeaseLost
    # What others wrote stays in the log: the conversation's next runs begin with it.
    await unit.conversations.stain(run.conversation_id, sorted(leaver.tainted))
    return run


async def _ask(unit: Unit, run: Run, ending: Ending) -> list[Told]:
    """Write the approvals and calls that the run waits for; returns the events that tell of them."""
    asked: list[Approval] = []
    for values in ending.approvals:
        about = {"id": new_id(), "run_id": run.id, "conversation_id": run.conversation_id, "user_id": run.user_id}
        asked.append(await unit.approvals.ask({**about, **values}, days=APPROVAL_DAYS))
    ids = [approval.id for approval in asked]
    waiting, called = await awaited.begin(unit, run, ending.awaited)
    if asked:
        waiting.insert(0, WaitingOn(type="approval", approval_ids=ids, until=asked[0].expires_at))
    shown_waiting = [one.model_dump(mode="json", exclude_none=True) for one in waiting]
    await unit.runs.wait_for(run.id, shown_waiting)
    waits = {"approval_ids": ids, "waiting_on": shown_waiting}
    shown = ("kind", "tool", "tool_call_id", "arguments", "expires_at")
    requested = [
        ("approval.requested", {"approval_id": one.id, **{name: getattr(one, name) for name in shown}}) for one in asked
    ]
    return [*requested, *called, ("run.waiting", {**waits, "usage": public_usage(run.usage)})]


def seq_of(batch: EventBatch | None) -> dict[str, int]:
    """The run's last number once the batch is stored, as a column's value."""
    return {"last_seq": batch.last_seq} if batch is not None else {}
