"""Branches of a conversation: going on from an earlier message, and back again. Nothing that was said is lost."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from pydantic_ai.conversation_store import ConversationEntry
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolReturnPart, UserPromptPart

from app.database.stores.entries import ConversationLog
from app.database.unit import Unit
from app.models.branch import Tip
from app.models.conversation import Conversation, Entry
from app.models.errors import Conflict, NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.run import Run
from app.services import conversations, history, users
from app.services.chat import Chat, Say, order_of
from app.services.definitions import find
from app.services.extras import Extras, checked
from app.services.idempotency import Once, earlier
from app.services.intake import submit
from app.services.messages import items_of

PREVIEW = 200


@dataclass(frozen=True, slots=True)
class Branched:
    """Where a conversation goes on, the tip that it left, and the run that goes on there, if one does."""

    from_id: UUID | None
    left_id: UUID | None
    run: Run | None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """What is kept of a line, what is asked next (None when nothing is), and the run that was asked it before."""

    kept: Sequence[ConversationEntry]
    prompt: str | None
    run_id: UUID | None = None


async def branch(
    chat: Chat, principal: Principal, conversation_id: UUID, from_id: UUID, wanted: Say, once: Once | None
) -> Branched:
    """Go on from a message of the conversation, or of a branch that it left; see `BranchIn`.

    Raises NotFound, and Conflict while a run is active.
    """
    async with chat.database.begin(principal.workspace_id) as unit:
        conversation = await unit.conversations.lock(conversation_id)
        if conversation is None:
            raise NotFound("There is no such conversation.", code="conversation_not_found")
        users.check_visible(principal, conversation.user_id, "conversation")
        run_id = new_id()
        existing = await earlier(unit, once, run_id)
        if existing is not None:
            return Branched(conversation.head_id, None, await unit.runs.get(existing), replayed=True)
        await _check_idle(unit, conversation)
        left_id = conversation.head_id
        place = await _move(unit, conversation, from_id)
        from_id_kept = UUID(place.kept[-1].id) if place.kept else None
        left = left_id if left_id not in {UUID(entry.id) for entry in place.kept} else None
        prompt = wanted.prompt or place.prompt
        if prompt is None:
            return Branched(from_id_kept, left, None)
        opened = await unit.turns.open(conversation_id)
        assert opened is not None
        agent = await find(unit, chat.registry, conversation.agent)
        order = order_of(chat, principal, opened.row, replace(wanted, prompt=prompt), agent)
        order = replace(order, more={**order.more, **await _went_along(unit, place, conversation.user_id)})
        asked = chat.executor.clock()
        run = await submit(unit, replace(order, id=run_id), opened.row, claim_for=chat.claimant)
    if run.status == "running":
        chat.executor.start(run, opened, since=asked)
    return Branched(from_id_kept, left, run)


async def _went_along(unit: Unit, place: _Place, user_id: UUID) -> dict[str, Any]:
    """What went along with a message goes along when it is sent again, edited or not: its files, the answer's shape.

    Raises InvalidInput when one of the files is there no more.
    """
    before = await unit.runs.get(place.run_id) if place.run_id is not None else None
    if before is None or before.input.get("prompt") != place.prompt:
        return {}  # a message that steered a run: what that was given belongs to another message
    kept = [UUID(one) for one in before.input.get("files") or ()]
    return await checked(unit, Extras(kept, before.input.get("output_schema")), user_id)


async def _check_idle(unit: Unit, conversation: Conversation) -> None:
    active = await unit.runs.active_of(conversation.id)
    if active:
        raise Conflict(
            "A run is active in this conversation. Wait for it, or cancel it first.",
            code="conversation_busy",
            extra={"active_run_id": str(active[0].id)},
        )


async def _move(unit: Unit, conversation: Conversation, from_id: UUID) -> _Place:
    """Put the conversation's head to the place, its open calls closed, its summary one of that line."""
    log = ConversationLog(unit.connection, unit.workspace_id)
    place = await _place(log, conversation, from_id)
    revision = str(conversation.revision)
    from_entry = place.kept[-1].id if place.kept else None
    at = None if from_entry else 0
    moved = await log.branch(str(conversation.id), at=at, from_entry=from_entry, expected_revision=revision)
    closing = history.close(moved.messages, [])
    record = log.record
    if closing and record is not None:
        await log.append(record, closing, [new_id() for _ in closing], usage=record.usage, deferred=None)
    await unit.summaries.point(conversation.id)
    return place


async def _place(log: ConversationLog, conversation: Conversation, from_id: UUID) -> _Place:
    for tip in [conversation.head_id, *reversed(conversation.branches)]:
        line: Sequence[ConversationEntry] = []
        with contextlib.suppress(LookupError):
            line = await log.read_history(str(tip) if tip else None)
        for at, entry in enumerate(line):
            if entry.id == str(from_id):
                return _after(line, at)
    raise NotFound("There is no such message in this conversation.", code="message_not_found")


def _after(line: Sequence[ConversationEntry], at: int) -> _Place:
    message = line[at].message
    if isinstance(message, ModelResponse):
        answered = at + 1 < len(line) and _answers(line[at + 1].message)
        return _Place(line[: at + 2] if message.tool_calls and answered else line[: at + 1], None)
    prompt = "\n".join(history.prompts_of([message]))
    if not prompt:
        raise NotFound("There is no such message in this conversation.", code="message_not_found")
    return _Place(line[:at], prompt, _run_of(message))


def _run_of(message: ModelMessage) -> UUID | None:
    """The run that wrote a message as `run:fence`; what was imported has another name or none."""
    with contextlib.suppress(ValueError):
        return UUID((message.run_id or "").partition(":")[0])
    return None


def _answers(message: ModelMessage) -> bool:
    """Whether a request holds results of tools and nothing that the person said."""
    if not isinstance(message, ModelRequest):
        return False
    said = any(isinstance(part, UserPromptPart) for part in message.parts)
    return not said and any(isinstance(part, ToolReturnPart) for part in message.parts)


async def tips(unit: Unit, principal: Principal, conversation_id: UUID) -> list[Tip]:
    """The ends of the conversation's lines, the newest first. Raises NotFound."""
    row = await conversations.get(unit, principal, conversation_id)
    found = await unit.branches.tips(row.id)
    return [_tip(entry, current=entry.id == row.head_id) for entry in found]


def _tip(entry: Entry, *, current: bool) -> Tip:
    items = items_of([entry])
    said = items[0].content if items else ""
    role = "assistant" if entry.message.get("kind") == "response" else "user"
    return Tip(entry.id, role, said[:PREVIEW], current, entry.created_at)
