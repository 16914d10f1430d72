"""Turns of applications that speak a protocol of their own: a message with tools and state, or answers to a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.agents.registry import AgentRegistry
from app.models.client_tool import ClientToolIn
from app.models.errors import Conflict, NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.run import Run
from app.services import contexts, conversations, responses, users
from app.services.chat import Chat
from app.services.chat_completions import Completion, made_before, submit
from app.services.client_tools import declared
from app.services.definitions import find
from app.services.history_import import Brought
from app.services.idempotency import Once, earlier
from app.services.responses import Answers


@dataclass(frozen=True, slots=True)
class AppMessage:
    """A message. `tools` and `state`, where given, replace the conversation's client tools and context."""

    prompt: str
    tools: list[ClientToolIn] | None = None
    state: Mapping[str, Any] | None = None


async def say(
    chat: Chat, principal: Principal, conversation_id: UUID, wanted: AppMessage, once: Once | None
) -> tuple[Run, bool]:
    """Begin a streamed turn in the conversation. Raises NotFound, Conflict for a busy one, InvalidInput."""
    run_id = new_id()
    async with chat.database.begin(principal.workspace_id) as unit:
        row = await unit.conversations.lock(conversation_id)
        if row is None:
            raise NotFound("There is no such conversation.", code="conversation_not_found")
        users.check_visible(principal, row.user_id, "conversation")
        existing = await earlier(unit, once, run_id)
        if existing is not None:
            return await made_before(unit, existing), True
        if wanted.tools is not None:
            agent = await find(unit, chat.registry, row.agent)
            tools = declared(wanted.tools, taken=agent.tools)
            row = await unit.conversations.change(row.id, {"client_tools": tools}) or row
        if wanted.state is not None and wanted.state != row.context_data:
            contexts.check(wanted.state, row.context_schema, most=chat.context_bytes, at="body.state")
            row = await contexts.put(unit, row, wanted.state)
        turn = Completion(
            row.agent, Brought([], wanted.prompt, tainted=False), stream=True, pattern=row.pattern, trigger="message"
        )
        start = await submit(chat, unit, principal, row, turn, run_id)
    return start.go(chat), False


async def answer(
    chat: Chat, principal: Principal, conversation_id: UUID, given: Answers, *, registry: AgentRegistry
) -> tuple[Run, int]:
    """Answer everything that the conversation's run waits for; of `given` only what it waits for counts.

    Returns the run and the number of its last event before. Raises NotFound, Conflict when it waits for none of
    this, InvalidInput when something stays unanswered.
    """
    async with chat.database.begin(principal.workspace_id) as unit:
        row = await unit.conversations.lock(conversation_id)
        if row is None:
            raise NotFound("There is no such conversation.", code="conversation_not_found")
        users.check_visible(principal, row.user_id, "conversation")
        waiting = [run for run in await unit.runs.active_of(row.id) if run.status == "waiting"]
        if not waiting:
            raise Conflict("No run of this conversation waits for an answer.", code="nothing_waits")
        run = waiting[0]
        calls = {call.tool_call_id for call in await unit.awaited.of_run(run.id, status="pending")}
        asked = {one.id for one in await unit.approvals.of_run(run.id, status="pending")}
        known = Answers(
            {call_id: outcome for call_id, outcome in given.results.items() if call_id in calls},
            [one for one in given.decisions if one.approval_id in asked],
        )
        if not known:
            raise Conflict("The run waits for none of these answers.", code="nothing_waits")
        return await responses.put_answers(unit, principal, run, known, registry), run.last_seq


async def active(chat: Chat, principal: Principal, conversation_id: UUID) -> Run | None:
    """The run that is at work in the conversation or will be, if any. Raises NotFound."""
    async with chat.database.begin(principal.workspace_id) as unit:
        row = await conversations.get(unit, principal, conversation_id)
        runs = [run for run in await unit.runs.active_of(row.id) if run.status in ("queued", "running")]
    return runs[0] if runs else None


async def state(chat: Chat, principal: Principal, conversation_id: UUID) -> dict[str, Any]:
    """The conversation's context data. Raises NotFound."""
    async with chat.database.begin(principal.workspace_id) as unit:
        return (await conversations.get(unit, principal, conversation_id)).context_data
