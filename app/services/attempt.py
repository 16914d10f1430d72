"""One attempt at a run: what it knows, and the short units through which it writes, each under the run's fence."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from pydantic_ai.conversation_store import ConversationRecord
from pydantic_ai.messages import ModelMessage, ModelResponse, TextContent, ToolCallPart, UserContent
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from app.agents.tool import ToolSpec
from app.database.connection import Database
from app.database.stores.entries import ConversationLog
from app.database.unit import Unit
from app.models.approval import Approval
from app.models.awaited import AwaitedCall
from app.models.errors import LeaseLost
from app.models.frames import EventBatch
from app.models.ids import new_id
from app.models.run import Run, RunResult, ToolCall
from app.models.turn import OpenConversation
from app.services import history
from app.services.ending import Ending, Told, run_usage, usage_document
from app.services.event_log import EventLog
from app.services.leaving import leave, seq_of
from app.services.news import News
from app.services.persistence import Persistence
from app.services.uninterrupted import uninterrupted

T = TypeVar("T")


class Attempt:
    """State of one attempt. Only its own task and the tool calls of that task use it."""

    def __init__(
        self,
        database: Database,
        run: Run,
        events: EventLog,
        opened: OpenConversation | None = None,
        *,
        leased: Callable[[], bool],
        ring: asyncio.Event,
    ) -> None:
        self.run = run
        self.events = events
        self.result: RunResult | None = None
        self._database = database
        self._opened = opened
        self._writes = Persistence(database, run.workspace_id, events)
        self._leased = leased
        self.news = News(database, run, ring)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._earlier_seconds = float(run.usage.get("seconds", 0))
        self._journal: dict[tuple[int, str], ToolCall] = {}
        self._approvals: dict[str, Approval] = {}
        self._decisions: dict[str, str] = {}
        self._stored = 0
        self._has_record = False
        self._earlier_usage = RunUsage()
        self.awaited: list[AwaitedCall] = []
        self.attached: Sequence[TextContent] = ()
        self.history: history.History | None = None
        self.record: ConversationRecord = history.empty_record(run)
        self.messages: list[ModelMessage] = []
        self.usage = run_usage(run.usage)
        self.tainted = set(run.taint)
        self.sent: dict[str, Any] | None = run.usage.get("sent")
        self.unpriced = bool(run.usage.get("requests")) and run.usage.get("cost_usd") is None

    async def load(self) -> None:
        """Read the history, and for a run that was begun before, its journal and decisions."""
        if self._opened is not None:
            found, self._opened = history.read(self._opened), None
        else:
            found = await self._look_up()
        self.history = found
        self.record, self.messages, self._has_record = found.record, found.messages, found.stored
        self._stored = len(self.messages)
        used = self.record.usage
        self._earlier_usage = used - run_usage(self.run.usage) if self.run.usage else used

    async def _look_up(self) -> history.History:
        async with self._database.begin(self.run.workspace_id) as unit:
            if self.run.attempt > 1 or self.run.checkpoints:
                for call in await unit.journal.of_run(self.run.id):
                    self._journal[call.step, call.tool_call_id] = call
                for approval in await unit.approvals.of_run(self.run.id):
                    self._note(approval)
                self.awaited = await unit.awaited.of_run(self.run.id)
                for call in self.awaited:
                    self.tainted.update((call.outcome or {}).get("taint", ()))
            await self.news.read(unit)
            return await history.load(unit, self.run)

    def _note(self, approval: Approval) -> None:
        if approval.kind == "tool_call":
            self._approvals[approval.tool_call_id] = approval
        elif self._began_since(approval):
            return
        elif approval.decision is not None:
            self._decisions[approval.tool_call_id] = approval.decision
        elif approval.status == "expired":
            self._decisions[approval.tool_call_id] = "skip"

    def _began_since(self, approval: Approval) -> bool:
        """Whether the call was begun once more after the question: the answer was about the time before."""
        calls = (call for call in self._journal.values() if call.tool_call_id == approval.tool_call_id)
        return any(call.started_at > approval.created_at for call in calls)

    @property
    def prompt(self) -> str | Sequence[UserContent] | None:
        """The input with the documents that go along, as long as it does not stand in the log."""
        return history.prompt_of(self.run, self.attached)

    @property
    def seconds(self) -> float:
        """How long the run has been executing, over all attempts."""
        return self._earlier_seconds + self._loop.time() - self._began

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
        return f"{self.run.id}:{history.step_of(self.messages, self.run.id)}:{tool_call_id}"

    # What the journal asks

    def journaled(self, step: int, tool_call_id: str) -> ToolCall | None:
        """The call as an earlier attempt left it."""
        return self._journal.get((step, tool_call_id))

    def decision(self, tool_call_id: str) -> str | None:
        """What a person decided about a call of unknown outcome."""
        return self._decisions.get(tool_call_id)

    def approved(self, step: int, tool_call_id: str, digest: str) -> bool:
        """Whether a person approved this call with exactly these arguments, or wrote them."""
        approval = self._approvals.get(tool_call_id)
        if approval is None or approval.status != "approved" or approval.step != step:
            return False
        return approval.arguments_hash == digest

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

    async def make_sure(self) -> None:
        """Look whether the run is still ours if its lease may have run out, as after a frost. Raises LeaseLost."""
        if not self._leased():
            await self.persist(self.held)

    # What is written

    async def start_call(
        self, step: int, part: ToolCallPart, spec: ToolSpec, arguments: dict[str, Any], known: ToolCall | None
    ) -> bool:
        """Write `started` under the fence before an effect begins. False when the run was asked to stop."""

        async def write(unit: Unit) -> bool:
            run = await self.held(unit)
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

        return await self.persist(write)

    async def record_call(
        self, step: int, part: ToolCallPart, spec: ToolSpec, arguments: dict[str, Any], status: str, result: Any
    ) -> None:
        """Write what became of a call, under the fence."""

        async def write(unit: Unit) -> None:
            run = await self.held(unit)
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

        await self.persist(write)

    async def finish_call(self, call: ToolCall, status: str, result: Any) -> None:
        """Settle a call that an earlier attempt had started."""

        async def write(unit: Unit) -> None:
            run = await self.held(unit)
            await unit.journal.finish(run.id, call.step, call.tool_call_id, status=status, result=result)

        await self.persist(write)

    async def checkpoint(self, response: ModelResponse) -> None:
        """Store the history up to a response that calls tools, so that no later attempt asks the model again."""
        if response.text:
            self.events.emit("message.completed", text=response.text, message_id=None)

        async def write(unit: Unit) -> tuple[Run, ConversationRecord]:
            batch = self.take()
            await unit.conversations.lock(self.run.conversation_id)
            run = await unit.runs.checkpoint(self.run.id, self.run.fence, **self.progress(), **seq_of(batch))
            if run is None:
                raise LeaseLost
            record = await self.append(unit, self.new_messages(), [new_id() for _ in self.new_messages()], None)
            await self.news.delivered(unit, self.new_messages())
            await self.store(unit, batch)
            return run, record

        await uninterrupted(self._store(write))

    async def _store(self, write: Callable[[Unit], Awaitable[tuple[Run, ConversationRecord]]]) -> None:
        self.run, self.record = await self.persist(write, done=self._checkpointed)
        self._stored, self._has_record = len(self.messages), True

    async def save_events(self) -> None:
        """Store the events of a long stream between two checkpoints; the partial answer itself is not history."""

        async def write(unit: Unit) -> Run:
            batch = self.take()
            if batch is None:
                return self.run
            run = await unit.runs.checkpoint(self.run.id, self.run.fence, last_seq=batch.last_seq)
            if run is None:
                raise LeaseLost
            await self.store(unit, batch)
            return run

        self.run = await uninterrupted(self.persist(write))

    async def end(self, ending: Ending) -> Run:
        """Write how the attempt leaves its run: log, result, usage, events and state in one commit."""

        async def write(unit: Unit) -> Run:
            return await leave(self, unit, ending)

        self.run = await self.persist(write, done=self._left)
        return self.run

    def progress(self) -> dict[str, Any]:
        return {
            "checkpoints": self.run.checkpoints + 1,
            "usage": usage_document(self.usage, self.seconds, unpriced=self.unpriced, sent=self.sent),
            "taint": sorted(self.tainted),
        }

    async def append(
        self, unit: Unit, messages: Sequence[ModelMessage], ids: Sequence[UUID], deferred: DeferredToolRequests | None
    ) -> ConversationRecord:
        log = ConversationLog(unit.connection, unit.workspace_id, run_id=self.run.id)
        usage = self.total_usage()
        return await log.append(self.record, messages, ids, usage=usage, deferred=deferred, stored=self._has_record)

    def total_usage(self) -> RunUsage:
        """What the conversation has used with this run."""
        return self._earlier_usage + self.usage

    @property
    def revision(self) -> UUID | None:
        """The log's revision as this attempt last saw or wrote it; None while there is no log."""
        return UUID(self.record.revision) if self._has_record else None

    async def write(self, change: Callable[[Unit], Awaitable[T]]) -> T:
        """Write something else of the run, in a unit of its own under the run's fence. Raises LeaseLost."""

        async def under_the_fence(unit: Unit) -> T:
            await unit.conversations.lock(self.run.conversation_id)
            await self.held(unit)
            return await change(unit)

        return await self.persist(under_the_fence)

    # Events go with the commits that are made anyway

    def take(self, *last: Told) -> EventBatch | None:
        return self._writes.take(*last)

    async def store(self, unit: Unit, batch: EventBatch | None) -> None:
        if batch is not None:
            await unit.events.add(self.run.id, batch)

    async def store_late(self, unit: Unit, *last: Told) -> None:
        """Store events that could only be told once other rows were written."""
        batch = self.take(*last)
        await self.store(unit, batch)
        if batch is not None:
            await unit.runs.reached(self.run.id, batch.last_seq)

    async def held(self, unit: Unit) -> Run:
        run = await unit.runs.hold(self.run.id, self.run.fence)
        if run is None:
            raise LeaseLost
        return run

    async def persist(
        self, write: Callable[[Unit], Awaitable[T]], *, done: Callable[[Unit], Awaitable[T | None]] | None = None
    ) -> T:
        """See `Persistence.persist`."""
        return await self._writes.persist(write, done=done)

    async def _checkpointed(self, unit: Unit) -> tuple[Run, ConversationRecord] | None:
        run = await unit.runs.get(self.run.id)
        if run is None or run.fence != self.run.fence or run.checkpoints != self.run.checkpoints + 1:
            return None
        return run, (await history.load(unit, run)).record

    async def _left(self, unit: Unit) -> Run | None:
        run = await unit.runs.get(self.run.id)
        return run if run is not None and run.fence == self.run.fence and run.status != "running" else None
