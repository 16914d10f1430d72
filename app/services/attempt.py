"""One attempt at a run: what it knows, and the short units through which it writes, each under the run's fence."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from pydantic_ai.conversation_store import ConversationRecord
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from app.agents.tool import ToolSpec
from app.database.connection import Database
from app.database.stores.entries import ConversationLog
from app.database.unit import Unit
from app.models.approval import Approval
from app.models.bells import RunReady
from app.models.errors import LeaseLost, Unavailable
from app.models.frames import EventBatch
from app.models.ids import new_id
from app.models.run import Run, RunStatus, ToolCall, Usage, WaitingOn
from app.services import history
from app.services.event_log import EventLog
from app.services.intake import release_next

T = TypeVar("T")
Told = tuple[str, dict[str, Any]]
"""An event by type and payload."""

APPROVAL_DAYS = 14
PERSIST_SECONDS = 60.0
"""How long a finished step is held in memory while the database is away, before the attempt gives up."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt leaves its run: the state, the reason, and what goes with it."""

    to: RunStatus
    reason: str | None = None
    detail: str | None = None
    text: str | None = None
    data: Any = None
    deferred: DeferredToolRequests | None = None
    available_in: float | None = None
    counts: bool = True
    approvals: Sequence[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def usage_document(usage: RunUsage, seconds: float, *, unpriced: bool) -> dict[str, Any]:
    """Usage of a run as the ledger keeps it; `cost_usd` is null where a price is not known."""
    return {
        "requests": usage.requests,
        "tool_calls": usage.tool_calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cost_usd": str(usage.cost) if usage.cost is not None and not unpriced else None,
        "seconds": round(seconds, 3),
    }


def run_usage(document: dict[str, Any]) -> RunUsage:
    """The usage that a run had when it was last written."""
    cost = document.get("cost_usd")
    return RunUsage(
        requests=document.get("requests", 0),
        tool_calls=document.get("tool_calls", 0),
        input_tokens=document.get("input_tokens", 0),
        output_tokens=document.get("output_tokens", 0),
        cost=Decimal(cost) if cost is not None else None,
    )


class Attempt:
    """State of one attempt. Only its own task and the tool calls of that task use it."""

    def __init__(self, database: Database, run: Run, events: EventLog) -> None:
        self.run = run
        self.events = events
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._journal: dict[tuple[int, str], ToolCall] = {}
        self._approvals: dict[str, Approval] = {}
        self._decisions: dict[str, str] = {}
        self._stored = 0
        self._has_record = False
        self._earlier_usage = RunUsage()
        self.history: history.History | None = None
        self.record: ConversationRecord = history.empty_record(run)
        self.messages: list[ModelMessage] = []
        self.usage = run_usage(run.usage)
        self.tainted = set(run.taint)
        self._batch: EventBatch | None = None
        self.unpriced = bool(run.usage.get("requests")) and run.usage.get("cost_usd") is None

    async def load(self) -> None:
        """Read the history, and for a run that was begun before, its journal and decisions."""
        async with self._database.begin(self.run.workspace_id) as unit:
            self.history = await history.load(unit, self.run)
            if self.run.attempt > 1 or self.run.checkpoints:
                for call in await unit.journal.of_run(self.run.id):
                    self._journal[call.step, call.tool_call_id] = call
                for approval in await unit.approvals.of_run(self.run.id):
                    self._note(approval)
        self.record, self.messages, self._has_record = self.history.record, self.history.messages, self.history.stored
        self._stored = len(self.messages)
        used = self.record.usage
        self._earlier_usage = used - run_usage(self.run.usage) if self.run.usage else used

    def _note(self, approval: Approval) -> None:
        if approval.kind == "tool_call":
            self._approvals[approval.tool_call_id] = approval
        elif approval.decision is not None:
            self._decisions[approval.tool_call_id] = approval.decision

    @property
    def prompt(self) -> str | None:
        """The input, as long as it does not stand in the log."""
        return self.run.input.get("prompt") if self.run.checkpoints == 0 else None

    @property
    def seconds(self) -> float:
        """How long the run has been executing, over all attempts."""
        return float(self.run.usage.get("seconds", 0)) + self._loop.time() - self._began

    @property
    def approvals(self) -> dict[str, Approval]:
        """Approvals of tool calls by call id, the latest of each."""
        return self._approvals

    def seen(self, messages: list[ModelMessage], usage: RunUsage) -> None:
        """Remember where the agent is, so that whatever ends the run knows it."""
        if len(messages) >= self._stored:
            self.messages = messages
        self.usage = usage
        last = messages[-1] if messages else None
        if isinstance(last, ModelResponse) and last.usage.cost is None:
            self.unpriced = True

    def new_messages(self) -> list[ModelMessage]:
        """Messages that are not in the log yet."""
        return self.messages[self._stored :]

    def effect_key(self, tool_call_id: str) -> str:
        """The key that the far end of an effect gets: the same over all attempts at this call."""
        return f"{self.run.id}:{history.step_of(self.messages)}:{tool_call_id}"

    # What the journal asks

    def journaled(self, step: int, tool_call_id: str) -> ToolCall | None:
        """The call as an earlier attempt left it."""
        return self._journal.get((step, tool_call_id))

    def decision(self, tool_call_id: str) -> str | None:
        """What a person decided about a call of unknown outcome."""
        return self._decisions.get(tool_call_id)

    def approved(self, tool_call_id: str, arguments: dict[str, Any], digest: str) -> bool:
        """Whether a person approved this call with exactly these arguments, or wrote them."""
        approval = self._approvals.get(tool_call_id)
        if approval is None or approval.status != "approved":
            return False
        if approval.decided_arguments is None:
            return approval.arguments_hash == digest
        return all(arguments.get(name) == value for name, value in approval.decided_arguments.items())

    def taint(self, source: str) -> None:
        """Note that text of others has entered the run; written with the next commit."""
        self.tainted.add(source)

    def announce(self, part: ToolCallPart, spec: ToolSpec, arguments: dict[str, Any], step: int) -> None:
        """Tell that a tool call begins."""
        self.events.emit(
            "tool.call",
            tool_call_id=part.tool_call_id,
            tool=spec.name,
            arguments=arguments,
            effect=spec.effect == "write",
            step=step,
        )

    def tool_ended(self, part: ToolCallPart, status: str, summary: str) -> None:
        """Tell what became of a tool call."""
        self.events.emit(
            "tool.result", tool_call_id=part.tool_call_id, tool=part.tool_name, status=status, summary=summary
        )

    # What is written

    async def start_call(
        self, step: int, part: ToolCallPart, spec: ToolSpec, arguments: dict[str, Any], known: ToolCall | None
    ) -> bool:
        """Write `started` under the fence before an effect begins. False when the run was asked to stop."""

        async def write(unit: Unit) -> bool:
            run = await self._held(unit)
            if run.cancel_requested_at is not None:
                return False
            if known is not None:
                await unit.journal.restart(run.id, step, part.tool_call_id, run.fence)
                return True
            await unit.journal.start(
                run.id,
                step,
                part.tool_call_id,
                tool=spec.name,
                arguments=arguments,
                effect=True,
                repeatable=False,
                fence=run.fence,
            )
            return True

        return await self._persist(write)

    async def record_call(
        self, step: int, part: ToolCallPart, spec: ToolSpec, arguments: dict[str, Any], status: str, result: Any
    ) -> None:
        """Write what became of a call, under the fence."""

        async def write(unit: Unit) -> None:
            run = await self._held(unit)
            if spec.effect == "write":
                await unit.journal.finish(run.id, step, part.tool_call_id, status=status, result=result)
                return
            await unit.journal.add(
                run.id,
                step,
                part.tool_call_id,
                tool=spec.name,
                arguments=arguments,
                effect=False,
                repeatable=True,
                status=status,
                result=result,
                fence=run.fence,
            )

        await self._persist(write)

    async def finish_call(self, call: ToolCall, status: str, result: Any) -> None:
        """Settle a call that an earlier attempt had started."""

        async def write(unit: Unit) -> None:
            run = await self._held(unit)
            await unit.journal.finish(run.id, call.step, call.tool_call_id, status=status, result=result)

        await self._persist(write)

    async def checkpoint(self, response: ModelResponse) -> None:
        """Store the history up to a response that calls tools, so that no later attempt asks the model again."""
        if response.text:
            self.events.emit("message.completed", text=response.text, message_id=None)

        async def write(unit: Unit) -> tuple[Run, ConversationRecord]:
            batch = self._take()
            await unit.conversations.lock(self.run.conversation_id)
            run = await unit.runs.checkpoint(self.run.id, self.run.fence, **self._progress(), **_seq(batch))
            if run is None:
                raise LeaseLost
            record = await self._append(unit, self.new_messages(), [new_id() for _ in self.new_messages()], None)
            await self._store(unit, batch)
            return run, record

        self.run, self.record = await self._persist(write, done=self._checkpointed)
        self._stored, self._has_record = len(self.messages), True

    async def end(self, ending: Ending) -> Run:
        """Write how the attempt leaves its run: log, result, usage, events and state in one commit."""

        async def write(unit: Unit) -> Run:
            await unit.conversations.lock(self.run.conversation_id)
            if ending.to == "queued":
                return await self._hand_back(unit, ending)
            if ending.to == "completed":
                return await self._complete(unit, ending)
            return await self._stop(unit, ending)

        self.run = await self._persist(write, done=self._left)
        return self.run

    async def _complete(self, unit: Unit, ending: Ending) -> Run:
        """The way of most runs, in as few statements as it takes."""
        ids = [new_id() for _ in self.new_messages()]
        entry_id = ids[-1] if ids else None
        progress = self._progress()
        outcome = {"result": {"text": ending.text, "data": ending.data}, "usage": public_usage(progress["usage"])}
        batch = self._take(
            ("message.completed", {"message_id": entry_id, "text": ending.text or ""}),
            ("run.completed", {**outcome, "message_id": entry_id}),
        )
        run = await self._move(unit, ending, **progress, **_seq(batch))
        await self._append(unit, self.new_messages(), ids, None)
        await unit.runs.record_result(run.id, text=ending.text, data=ending.data, error=None, entry_id=entry_id)
        await self._store(unit, batch)
        await release_next(unit, run.conversation_id)
        return run

    async def _hand_back(self, unit: Unit, ending: Ending) -> Run:
        """Queue the run again at its last checkpoint: for a retry, or because this process stops."""
        values: dict[str, Any] = {"usage": {**self.run.usage, "seconds": round(self.seconds, 3)}}
        if not ending.counts:
            values["attempt"] = self.run.attempt - 1
        run = await self._move(unit, ending, **values)
        last: Told
        if ending.reason is None:
            last = ("run.queued", {"waiting_on": []})
        else:
            waiting = WaitingOn(type="retry", until=run.available_at, detail=ending.detail)
            await unit.runs.wait_for(run.id, [waiting.model_dump(mode="json", exclude_none=True)])
            last = ("run.retrying", {"until": run.available_at, "reason": ending.reason, "detail": ending.detail})
        await self._store_late(unit, last)
        unit.ring(RunReady(run.id, run.lane))
        return run

    async def _stop(self, unit: Unit, ending: Ending) -> Run:
        """Leave the run failed, cancelled or waiting, with a history that can go on."""
        if ending.to == "cancelled":
            ending = replace(ending, reason=(await self._held(unit)).status_reason or ending.reason)
        run = await self._move(unit, ending, **self._progress())
        closing: list[ModelMessage] = []
        if ending.to != "waiting":
            await unit.journal.close(run.id, "unknown")
            nothing_new = not self.new_messages()
            journal = await unit.journal.of_run(run.id)
            closing = history.close(self.messages, journal, self.prompt if nothing_new else None)
        messages = [*self.new_messages(), *closing]
        await self._append(unit, messages, [new_id() for _ in messages], ending.deferred)
        if ending.to == "waiting":
            await self._store_late(unit, *await self._ask(unit, run, ending))
            return run
        error = {"code": ending.reason, "detail": ending.detail}
        await unit.runs.record_result(run.id, text=ending.text, data=ending.data, error=error, entry_id=None)
        outcome = {"result": {"text": ending.text, "data": ending.data}, "usage": public_usage(run.usage)}
        told = {"status_reason": ending.reason, "detail": ending.detail}
        await self._store_late(unit, (f"run.{ending.to}", {**outcome, **told}))
        await release_next(unit, run.conversation_id)
        return run

    async def _move(self, unit: Unit, ending: Ending, **values: Any) -> Run:
        run = await unit.runs.transition(
            self.run.id,
            ("running",),
            ending.to,
            fence=self.run.fence,
            available_in=ending.available_in,
            status_reason=ending.reason,
            status_detail=ending.detail,
            **values,
        )
        if run is None:
            raise LeaseLost
        return run

    async def _ask(self, unit: Unit, run: Run, ending: Ending) -> list[Told]:
        """Write the approvals that the run waits for; returns the events that tell of them."""
        asked: list[Approval] = []
        for values in ending.approvals:
            about = {"id": new_id(), "run_id": run.id, "conversation_id": run.conversation_id, "user_id": run.user_id}
            asked.append(await unit.approvals.ask({**about, **values}, days=APPROVAL_DAYS))
        ids = [approval.id for approval in asked]
        waiting = WaitingOn(type="approval", approval_ids=ids, until=asked[0].expires_at)
        await unit.runs.wait_for(run.id, [waiting.model_dump(mode="json", exclude_none=True)])
        shown = ("kind", "tool", "tool_call_id", "arguments", "expires_at")
        requested = [
            ("approval.requested", {"approval_id": one.id, **{name: getattr(one, name) for name in shown}})
            for one in asked
        ]
        return [*requested, ("run.waiting", {"approval_ids": ids})]

    def _progress(self) -> dict[str, Any]:
        return {
            "checkpoints": self.run.checkpoints + 1,
            "usage": usage_document(self.usage, self.seconds, unpriced=self.unpriced),
            "taint": sorted(self.tainted),
        }

    async def _append(
        self, unit: Unit, messages: Sequence[ModelMessage], ids: Sequence[UUID], deferred: DeferredToolRequests | None
    ) -> ConversationRecord:
        log = ConversationLog(unit.connection, unit.workspace_id, run_id=self.run.id)
        return await log.append(
            self.record,
            messages,
            ids,
            usage=self._earlier_usage + self.usage,
            deferred=deferred,
            stored=self._has_record,
        )

    # Events go with the commits that are made anyway

    def _take(self, *last: Told) -> EventBatch | None:
        self._batch = self.events.take(*last)
        return self._batch

    async def _store(self, unit: Unit, batch: EventBatch | None) -> None:
        if batch is not None:
            await unit.events.add(self.run.id, batch)

    async def _store_late(self, unit: Unit, *last: Told) -> None:
        """Store events that could only be told once other rows were written."""
        batch = self._take(*last)
        await self._store(unit, batch)
        if batch is not None:
            await unit.runs.reached(self.run.id, batch.last_seq)

    async def _held(self, unit: Unit) -> Run:
        run = await unit.runs.hold(self.run.id, self.run.fence)
        if run is None:
            raise LeaseLost
        return run

    # Outages

    async def _persist(
        self, write: Callable[[Unit], Awaitable[T]], *, done: Callable[[Unit], Awaitable[T | None]] | None = None
    ) -> T:
        """Run one short unit; while the database is away, hold on and try again.

        A commit whose answer was lost may have happened: `done` looks before the second try.
        """
        patience = self._loop.time() + PERSIST_SECONDS
        first = True
        while True:
            try:
                async with self._database.begin(self.run.workspace_id) as unit:
                    found = None if first or done is None else await done(unit)
                    found = found if found is not None else await write(unit)
                self._settle_events(stored=True)
                return found
            except Unavailable:
                first = False
                self._settle_events(stored=False)
                if self._loop.time() > patience:
                    raise
                await asyncio.sleep(0.25)

    def _settle_events(self, *, stored: bool) -> None:
        batch, self._batch = self._batch, None
        if stored:
            self.events.committed(batch)
        else:
            self.events.rolled_back(batch)

    async def _checkpointed(self, unit: Unit) -> tuple[Run, ConversationRecord] | None:
        run = await unit.runs.get(self.run.id)
        if run is None or run.fence != self.run.fence or run.checkpoints != self.run.checkpoints + 1:
            return None
        return run, (await history.load(unit, run)).record

    async def _left(self, unit: Unit) -> Run | None:
        run = await unit.runs.get(self.run.id)
        return run if run is not None and run.fence == self.run.fence and run.status != "running" else None


def _seq(batch: EventBatch | None) -> dict[str, int]:
    return {"last_seq": batch.last_seq} if batch is not None else {}


def public_usage(document: dict[str, Any]) -> dict[str, Any]:
    """Usage as clients see it."""
    return Usage.model_validate({key: document.get(key) for key in Usage.model_fields if key in document}).model_dump(
        mode="json"
    )
