"""A chat turn: written as a run, executed in this very process when nothing is before it, and waited for."""

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from uuid import UUID

from app.agents.definition import AgentDefinition, merge_limits
from app.agents.llm import ModelSource
from app.agents.registry import AgentRegistry
from app.database.connection import Database
from app.database.unit import Unit
from app.models.agent import Overrides
from app.models.approval import Approval
from app.models.awaited import AwaitedCall
from app.models.context import ContextChange
from app.models.conversation import Conversation
from app.models.errors import Conflict, NotFound
from app.models.events import TERMINAL_EVENTS
from app.models.identity import Principal
from app.models.run import TERMINAL, OnBusy, Run, RunResult
from app.services import contexts, users
from app.services.agent_executor import Executor
from app.services.definitions import find
from app.services.event_hub import EventHub
from app.services.events import follow
from app.services.extras import NOTHING, Extras, checked
from app.services.idempotency import Once, earlier
from app.services.intake import Claimant, Order, submit
from app.services.steering import steer
from app.services.tuning import accepted, check_model


@dataclass(frozen=True, slots=True)
class Chat:
    """What chat turns need of their process. `claimant` names the process and the caps of its lane.

    `context_bytes` is the most that the context of a conversation may have.
    """

    database: Database
    hub: EventHub
    executor: Executor
    registry: AgentRegistry
    models: ModelSource
    claimant: Claimant
    wait_seconds: float
    context_bytes: int = 65_536


@dataclass(frozen=True, slots=True)
class Say:
    """One turn as the caller asks for it; `prompt` None goes on from where the log stands.

    `context` is a change to the conversation's context that goes along, `overrides` what is said otherwise than the
    agent, `more` what else goes along.
    """

    prompt: str | None
    stream: bool = False
    on_busy: OnBusy = "reject"
    context: ContextChange | None = None
    more: Extras = NOTHING
    overrides: Overrides | None = None


class Said(NamedTuple):
    """What became of a turn that was asked for.

    `replayed`: an earlier request with the same key had made the run. `steered`: the message went to a run that was
    active already.
    """

    run: Run
    replayed: bool
    steered: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn came to so far."""

    run: Run
    result: RunResult | None
    approvals: list[Approval]
    calls: list[AwaitedCall] = field(default_factory=list[AwaitedCall])

    @property
    def settled(self) -> bool:
        """Whether the run has ended or waits for the caller; one that waits for runs which it began goes on."""
        asked = self.approvals or any(call.kind == "client" for call in self.calls)
        return self.run.status in TERMINAL or (self.run.status == "waiting" and bool(asked))


async def say(chat: Chat, principal: Principal, conversation_id: UUID, wanted: Say, once: Once | None) -> Said:
    """Write a turn's run and begin it, or keep its message for the run that is active (`on_busy` steer).

    Its change of the context is made in the same commit. Raises NotFound, Conflict for a busy conversation, one with
    nothing to go on from, or a context that has changed, and InvalidInput.
    """
    async with chat.database.begin(principal.workspace_id) as unit:
        opened = await unit.turns.open(conversation_id)
        if opened is None:
            raise NotFound("There is no such conversation.", code="conversation_not_found")
        conversation = opened.row
        users.check_visible(principal, conversation.user_id, "conversation")
        if wanted.prompt is None and conversation.head_id is None:
            raise Conflict("The conversation is empty; send a message first.", code="nothing_to_continue")
        agent = await find(unit, chat.registry, conversation.agent)
        order = order_of(chat, principal, conversation, wanted, agent)
        order = replace(order, more={**order.more, **await checked(unit, wanted.more, conversation.user_id)})
        existing = await earlier(unit, once, order.id)
        if existing is not None:
            return await _said_before(unit, existing)
        if wanted.context is not None:
            data = contexts.with_change(conversation, wanted.context, most=chat.context_bytes)
            opened = replace(opened, row=await contexts.put(unit, conversation, data))
        if wanted.on_busy == "steer" and wanted.prompt is not None:
            steered = await steer(unit, conversation, order.id, wanted.prompt, principal.id)
            if steered is not None:
                return Said(steered, replayed=False, steered=True)
        asked = chat.executor.clock()
        run = await submit(unit, order, conversation, on_busy=wanted.on_busy, claim_for=chat.claimant)
    if run.status == "running":
        chat.executor.start(run, opened, since=asked)
    return Said(run, replayed=False)


async def _said_before(unit: Unit, object_id: UUID) -> Said:
    run = await unit.runs.get(object_id)
    if run is not None:
        return Said(run, replayed=True)
    message = await unit.steering.get(object_id)
    steered = await unit.runs.get(message.run_id) if message is not None else None
    if steered is None:
        raise NotFound("The run of this Idempotency-Key is gone.", code="run_not_found")
    return Said(steered, replayed=True, steered=True)


def order_of(
    chat: Chat, principal: Principal, conversation: Conversation, wanted: Say, agent: AgentDefinition
) -> Order:
    """The order that a turn of this conversation is."""
    pattern = chat.registry.pattern(conversation.pattern)
    said = accepted(agent, wanted.overrides)
    limits = merge_limits(agent.limits, pattern.limits)
    model = said.get("model")
    if model is not None:
        check_model(chat.models, model, limits)
    return Order(
        conversation_id=conversation.id,
        pattern=pattern.name,
        lane=pattern.lane,
        agent=agent.name,
        agent_version=agent.version,
        model=chat.models.name(model or agent.model),
        max_attempts=pattern.max_attempts,
        trigger="message" if wanted.prompt is not None else "continue",
        created_by=principal.id,
        prompt=wanted.prompt,
        limits=limits.model_dump(mode="json", exclude_none=True),
        streamed=wanted.stream,
        more={"overrides": said} if said else {},
    )


async def answer(chat: Chat, run: Run) -> Turn:
    """Wait until the run ends or waits for a person, at most the configured time, and tell what it came to."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(chat.wait_seconds):
            return await _settled(chat, run)
    return await look(chat, run)


async def _settled(chat: Chat, run: Run) -> Turn:
    execution = chat.executor.execution(run.id)
    if execution is not None:
        await execution.ended.wait()
        if execution.result is not None:
            return Turn(execution.run, execution.result, [])
    while True:
        turn = await look(chat, run)
        if turn.settled or chat.hub.closing:
            return turn
        stops = TERMINAL_EVENTS | {"run.waiting"}
        async for _ in follow(chat.database, chat.hub, run.workspace_id, run.id, turn.run.last_seq, ends_on=stops):
            pass


async def look(chat: Chat, run: Run) -> Turn:
    """The run as it is now, its result, and the approvals it waits for."""
    async with chat.database.begin(run.workspace_id) as unit:
        present = await unit.runs.get(run.id)
        if present is None:
            raise NotFound(f"Run {run.id} not found.", code="run_not_found")
        result = await unit.runs.result(run.id)
        waiting = present.status == "waiting"
        approvals = await unit.approvals.of_run(run.id, status="pending") if waiting else []
        calls = await unit.awaited.of_run(run.id, status="pending") if waiting else []
    return Turn(present, result, approvals, calls)
