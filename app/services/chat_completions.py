"""Chat completions: a history that the client holds, answered by a run in a conversation made for that one answer."""

from dataclasses import dataclass, field, replace
from typing import Any

from app.agents.definition import merge_limits
from app.database.unit import Unit
from app.models.agent import Overrides
from app.models.awaited import AwaitedCall
from app.models.conversation import Conversation
from app.models.errors import NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.run import Limits, Run
from app.services import history_import, intake, users
from app.services.chat import Chat, Say, Turn, order_of
from app.services.definitions import find
from app.services.extras import NOTHING, Extras, checked
from app.services.history_import import TAINT, Brought
from app.services.idempotency import Once, earlier

TRIGGER = "chat_completion"


@dataclass(frozen=True, slots=True)
class Completion:
    """What a client asks of an agent. A conversation made for it is erased after `days`; without, it stays.

    `pattern` and `agent` are the run's. With `claim` it is begun in this process. `more` goes into the run's input,
    `limits` before those of agent and pattern.
    """

    agent: str
    brought: Brought
    stream: bool = False
    days: int | None = None
    user_id: str | None = None
    pattern: str = "chatbot"
    trigger: str = TRIGGER
    claim: bool = True
    tools: list[dict[str, Any]] | None = None
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    extras: Extras = NOTHING
    overrides: Overrides | None = None
    limits: Limits = field(default_factory=Limits)


async def begin(chat: Chat, principal: Principal, wanted: Completion, once: Once | None) -> tuple[Run, bool]:
    """Make the conversation and its run in one commit, and begin it here if there is room.

    Returns the run, and whether an earlier request with the same key had made it. Raises NotFound for the agent.
    """
    run_id = new_id()
    async with chat.database.begin(principal.workspace_id) as unit:
        existing = await earlier(unit, once, run_id)
        if existing is not None:
            return await made_before(unit, existing), True
        row = await conversation(unit, principal, chat, wanted)
        start = await submit(chat, unit, principal, row, wanted, run_id)
    return start.go(chat), False


async def made_before(unit: Unit, run_id: Any) -> Run:
    """The run that an earlier request with the same key made. Raises NotFound when it was erased since."""
    found = await unit.runs.get(run_id)
    if found is None:
        raise NotFound("The run of this Idempotency-Key is gone.", code="run_not_found")
    return found


async def conversation(unit: Unit, principal: Principal, chat: Chat, wanted: Completion) -> Conversation:
    """A new conversation for what is asked, still empty. Raises NotFound for the agent."""
    values: dict[str, Any] = {
        "id": new_id(),
        "user_id": await users.subject(unit, principal, wanted.user_id),
        "pattern": chat.registry.pattern(wanted.pattern).name,
        "agent": (await find(unit, chat.registry, wanted.agent)).name,
        "client_tools": wanted.tools or [],
    }
    return await unit.conversations.add(values, days=wanted.days)


@dataclass(frozen=True, slots=True)
class Start:
    """A run that was written, and what this process needs to carry it out once that is committed."""

    run: Run
    opened: Any
    asked: float

    def go(self, chat: Chat) -> Run:
        """Begin it, if it is this process' to begin."""
        if self.run.status == "running":
            chat.executor.start(self.run, self.opened, since=self.asked)
        return self.run


async def submit(
    chat: Chat, unit: Unit, principal: Principal, row: Conversation, wanted: Completion, run_id: Any
) -> Start:
    """Put what was brought into the conversation and write the run. The conversation is locked, or new.

    Raises Conflict for a busy one.
    """
    brought = wanted.brought
    if brought.tainted:
        await unit.conversations.stain(row.id, [TAINT])
    if brought.messages and not await unit.runs.active_of(row.id):
        await history_import.put(unit, row, brought.messages)
    opened = await unit.turns.open(row.id)
    assert opened is not None
    agent = await find(unit, chat.registry, wanted.agent)
    pattern = chat.registry.pattern(wanted.pattern)
    limits = merge_limits(wanted.limits, agent.limits, pattern.limits)
    order = order_of(chat, principal, opened.row, Say(brought.prompt, wanted.stream, overrides=wanted.overrides), agent)
    extras = await checked(unit, wanted.extras, row.user_id)
    order = replace(
        order,
        id=run_id,
        pattern=pattern.name,
        lane=pattern.lane,
        max_attempts=pattern.max_attempts,
        limits=limits.model_dump(mode="json", exclude_none=True),
        trigger=wanted.trigger,
        more={**order.more, **extras, **wanted.more},
    )
    asked = chat.executor.clock()
    run = await intake.submit(unit, order, opened.row, claim_for=chat.claimant if wanted.claim else None)
    return Start(run, opened, asked)


async def functions_asked(chat: Chat, turn: Turn) -> list[AwaitedCall]:
    """The functions of the client that a run asked for, each time the same; one that waits for them ends with that.

    The client goes on in a request of its own. While a person must decide as well, there are none.
    """
    if turn.run.status == "waiting":
        calls = [call for call in turn.calls if call.kind == "client"]
        if not calls or turn.approvals:
            return []
        async with chat.database.begin(turn.run.workspace_id) as unit:
            await intake.hand_over(unit, turn.run.id)
        return calls
    if turn.run.status_reason != intake.HANDED_OVER:
        return []
    async with chat.database.begin(turn.run.workspace_id) as unit:
        return await unit.awaited.of_run(turn.run.id, status="void")
