"""Chat completions: a history that the client holds, answered by a run in a conversation made for that one answer."""

from dataclasses import dataclass, field, replace
from typing import Any

from app.database.unit import Unit
from app.models.conversation import Conversation
from app.models.errors import NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.run import Run
from app.services import history_import, users
from app.services.chat import Chat, Say, order_of
from app.services.definitions import find
from app.services.history_import import TAINT, Brought
from app.services.idempotency import Once, earlier
from app.services.intake import submit

TRIGGER = "chat_completion"


@dataclass(frozen=True, slots=True)
class Completion:
    """What a client asks for. The conversation made for it is erased after `days`; without, it stays."""

    agent: str
    brought: Brought
    stream: bool = False
    days: int | None = None
    user_id: str | None = None
    pattern: str = "chatbot"
    trigger: str = TRIGGER
    claim: bool = True
    tools: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    more: dict[str, Any] = field(default_factory=dict[str, Any])


async def begin(chat: Chat, principal: Principal, wanted: Completion, once: Once | None) -> tuple[Run, bool]:
    """Make the conversation and its run in one commit, and begin it here if there is room.

    Returns the run, and whether an earlier request with the same key had made it. Raises NotFound for the agent.
    """
    run_id = new_id()
    async with chat.database.begin(principal.workspace_id) as unit:
        existing = await earlier(unit, once, run_id)
        if existing is not None:
            found = await unit.runs.get(existing)
            if found is None:
                raise NotFound("The run of this Idempotency-Key is gone.", code="run_not_found")
            return found, True
        agent = await find(unit, chat.registry, wanted.agent)
        made = await _conversation(unit, principal, chat, wanted)
        opened = await unit.turns.open(made.id)
        assert opened is not None
        say = Say(wanted.brought.prompt, wanted.stream)
        order = order_of(chat, principal, opened.row, say, agent)
        order = replace(order, id=run_id, trigger=wanted.trigger, more=wanted.more)
        asked = chat.executor.clock()
        run = await submit(unit, order, opened.row, claim_for=chat.claimant if wanted.claim else None)
    if run.status == "running":
        chat.executor.start(run, opened, since=asked)
    return run, False


async def _conversation(unit: Unit, principal: Principal, chat: Chat, wanted: Completion) -> Conversation:
    values: dict[str, Any] = {
        "id": new_id(),
        "user_id": await users.subject(unit, principal, wanted.user_id),
        "pattern": chat.registry.pattern(wanted.pattern).name,
        "agent": wanted.agent,
        "client_tools": wanted.tools,
        "taint": [TAINT] if wanted.brought.tainted else [],
    }
    row = await unit.conversations.add(values, days=wanted.days)
    if wanted.brought.messages:
        await history_import.put(unit, row, wanted.brought.messages)
    return row
