"""Responses: a run seen as OpenAI's Responses API has it, begun, gone on from, and answered.

A response is a run up to where it waits for its client or for a person; what follows is the next response of the same
run. `resp_<run>` is the first, `resp_<run>_2` the second.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from app.agents.registry import AgentRegistry
from app.database.unit import Unit
from app.models.approval import DecisionIn
from app.models.conversation import Conversation, ForkIn
from app.models.errors import Conflict, Forbidden, InvalidInput, NotFound
from app.models.events import TERMINAL_EVENTS
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.run import TERMINAL, Run
from app.services import approvals, awaited, conversations, runs
from app.services.chat import Chat
from app.services.chat_completions import Completion, Start, conversation, made_before, submit
from app.services.idempotency import Once, earlier, settle

TRIGGER = "response"

_ID = re.compile(r"resp_([0-9a-f]{32})(?:_([1-9][0-9]{0,5}))?")


@dataclass(frozen=True, slots=True)
class Part:
    """One response: a run, and the how-manieth of its responses."""

    run_id: UUID
    segment: int = 1

    @property
    def id(self) -> str:
        """The response's id."""
        return f"resp_{self.run_id.hex}" + (f"_{self.segment}" if self.segment > 1 else "")

    @property
    def previous(self) -> "Part | None":
        """The response of the same run before it."""
        return replace(self, segment=self.segment - 1) if self.segment > 1 else None


def part_of(response_id: str) -> Part:
    """The response with that id; the plain id of a run is its first. Raises NotFound for what is none."""
    found = _ID.fullmatch(response_id)
    if found is not None:
        return Part(UUID(hex=found[1]), int(found[2] or 1))
    try:
        return Part(UUID(response_id))
    except ValueError:
        raise unknown() from None


def unknown() -> NotFound:
    """No such response."""
    return NotFound("There is no such response.", code="response_not_found")


@dataclass(frozen=True, slots=True)
class Decided:
    """A person's word on an approval; `arguments` are those that the call shall have instead."""

    approval_id: UUID
    approve: bool
    note: str | None = None
    arguments: dict[str, Any] | None = None

    def decision(self) -> DecisionIn:
        """The same as the approval takes it."""
        if self.approve and self.arguments is not None:
            return DecisionIn(decision="edit", arguments=self.arguments, note=self.note)
        return DecisionIn(decision="approve" if self.approve else "deny", note=self.note)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a run that waits is answered with: outcomes of calls by id (`awaited.ok`, `failed`), and decisions."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    decisions: Sequence[Decided] = ()

    def __bool__(self) -> bool:
        return bool(self.results or self.decisions)


@dataclass(frozen=True, slots=True)
class Begun:
    """A response that was begun: its run and place, and whether an earlier request with the same key had begun it."""

    run: Run
    part: Part
    replayed: bool


async def begin(
    chat: Chat,
    principal: Principal,
    wanted: Completion,
    once: Once | None,
    *,
    previous: Part | None = None,
    conversation_id: UUID | None = None,
) -> Begun:
    """Begin a response with a message: in a new conversation, after another response, or at a conversation's end.

    After a response that is not the newest of its conversation, in a fork of it. Raises NotFound, Conflict.
    """
    run_id = new_id()
    async with chat.database.begin(principal.workspace_id) as unit:
        existing = await earlier(unit, once, run_id)
        if existing is not None:
            return Begun(await made_before(unit, existing), Part(existing), True)
        start = await _start(chat, unit, principal, wanted, run_id, previous, conversation_id)
    return Begun(start.go(chat), Part(run_id), False)


async def _start(
    chat: Chat,
    unit: Unit,
    principal: Principal,
    wanted: Completion,
    run_id: UUID,
    previous: Part | None,
    conversation_id: UUID | None,
) -> Start:
    if previous is not None:
        row = await _after(unit, principal, previous)
    elif conversation_id is not None:
        row = await conversations.get(unit, principal, conversation_id)
    else:
        return await submit(chat, unit, principal, await conversation(unit, principal, chat, wanted), wanted, run_id)
    locked = await unit.conversations.lock(row.id)
    if locked is not None and wanted.tools is not None:
        locked = await unit.conversations.change(row.id, {"client_tools": wanted.tools})
    return await submit(chat, unit, principal, locked or row, wanted, run_id)


async def _after(unit: Unit, principal: Principal, previous: Part) -> Conversation:
    """The conversation to go on in: the response's own, or a fork where others came after it."""
    run = await runs.get(unit, principal, previous.run_id)
    own = await conversations.get(unit, principal, run.conversation_id)
    newest = await unit.runs.page(limit=1, after=None, conversation_id=run.conversation_id)
    if run.status not in TERMINAL or not newest or newest[0].id == run.id:
        return own
    result = await unit.runs.result(run.id)
    if result is None or result.entry_id is None:
        raise Conflict("Nothing can go on from a response that did not complete.", code="response_not_completed")
    forked, _ = await conversations.fork(unit, principal, own.id, ForkIn(at=result.entry_id), once=None)
    return forked


async def answer(
    chat: Chat, principal: Principal, previous: Part, given: Answers, once: Once | None, *, registry: AgentRegistry
) -> Begun:
    """Answer everything that a response asked for; its run goes on, and what follows is the next response.

    Raises NotFound, InvalidInput when something stays unanswered, Conflict when somebody was faster, Forbidden.
    """
    following = replace(previous, segment=previous.segment + 1)
    async with chat.database.begin(principal.workspace_id) as unit:
        existing = await earlier(unit, once, previous.run_id)
        if existing is not None:
            return Begun(await made_before(unit, existing), following, True)
        run = await runs.get(unit, principal, previous.run_id)
        await unit.conversations.lock(run.conversation_id)
        await settle(unit, once, run.id)
        return Begun(await put_answers(unit, principal, run, given, registry), following, False)


async def put_answers(unit: Unit, principal: Principal, run: Run, given: Answers, registry: AgentRegistry) -> Run:
    """Answer all that the run waits for, and return it as it goes on. Its conversation is locked.

    Raises NotFound, InvalidInput when something stays unanswered, Conflict when somebody was faster, Forbidden.
    """
    await _decide(unit, principal, run, given.decisions, registry)
    if given.results:
        await awaited.answer(unit, run.id, given.results, answered_by=principal.id)
    await _nothing_open(unit, run)
    found = await unit.runs.get(run.id)
    assert found is not None
    return found


async def _decide(
    unit: Unit, principal: Principal, run: Run, decisions: Sequence[Decided], registry: AgentRegistry
) -> None:
    if decisions and not principal.may("approvals:decide"):
        raise Forbidden("This needs the scope approvals:decide.", code="missing_scope")
    for one in decisions:
        asked = await approvals.get(unit, principal, one.approval_id)
        if asked.run_id != run.id:
            raise NotFound("The response asks for no such approval.", code="approval_not_found")
        await approvals.decide(unit, principal, one.approval_id, one.decision(), tools=registry)


async def _nothing_open(unit: Unit, run: Run) -> None:
    calls = [call for call in await unit.awaited.of_run(run.id, status="pending") if call.kind == "client"]
    asked = await unit.approvals.of_run(run.id, status="pending")
    missing = [*(call.tool_call_id for call in calls), *(f"apr_{one.id}" for one in asked)]
    if missing:
        raise InvalidInput(
            f"Nothing was given for {', '.join(missing)}; answer all that the response asked for.",
            code="missing_output",
            extra={"param": "input"},
        )


async def events_of(unit: Unit, run: Run) -> list[dict[str, Any]]:
    """Everything that is stored of what the run has told; the end of one that is long over is made anew."""
    found = [frame.event for frame in await unit.events.after(run.id, run.conversation_id, 0)]
    if run.status not in TERMINAL or (found and found[-1]["type"] in TERMINAL_EVENTS):
        return found
    result = await unit.runs.result(run.id)
    return [
        {
            "type": f"run.{run.status}",
            "attempt": run.attempt,
            "status_reason": run.status_reason,
            "detail": run.status_detail,
            "usage": run.usage,
            "result": {"text": result.text, "data": result.data} if result is not None else None,
        }
    ]
