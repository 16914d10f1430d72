"""Conversations: made, listed, changed, forked and erased."""

from typing import Any, cast
from uuid import UUID

from app.database.stores.entries import ConversationLog
from app.database.unit import Unit
from app.models.client_tool import ClientToolIn
from app.models.context import ContextChanges
from app.models.conversation import Conversation, ConversationCreate, ConversationOut, ConversationPatch, ForkIn
from app.models.errors import Conflict, InvalidInput, NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.run import Usage
from app.services import client_tools, contexts, history, users
from app.services.idempotency import Once, earlier
from app.services.orders import Desk

Created = tuple[Conversation, bool]
"""A conversation, and whether an earlier request with the same key had made it."""


async def create(
    unit: Unit,
    principal: Principal,
    wanted: ConversationCreate,
    *,
    desk: Desk,
    once: Once | None,
) -> Created:
    """Make a conversation. Raises InvalidInput for a pattern or an agent that cannot hold one."""
    pattern = desk.pattern(wanted.pattern_type, background=False)
    agent = await desk.agent(unit, pattern, wanted.agent)
    targets = desk.targets(wanted.targets, default="ask")
    contexts.check_schema_of(wanted.context_schema, most=desk.context_bytes)
    contexts.check(wanted.context_data, wanted.context_schema, most=desk.context_bytes)
    tools = client_tools.declared(wanted.client_tools, taken=desk.tool_names())
    conversation_id = new_id()
    existing = await earlier(unit, once, conversation_id)
    if existing is not None:
        return await get(unit, principal, existing), True
    row = await unit.conversations.add(
        {
            "id": conversation_id,
            "user_id": await users.subject(unit, principal, wanted.user_id),
            "pattern": pattern.name,
            "agent": agent.name,
            "title": wanted.title,
            "context_data": wanted.context_data,
            "context_schema": wanted.context_schema,
            "context_changes": wanted.context_changes,
            "client_tools": tools,
            "targets": targets,
            "taint": [contexts.TAINT] if wanted.context_untrusted else [],
        }
    )
    return row, False


async def get(unit: Unit, principal: Principal, conversation_id: UUID) -> Conversation:
    """The conversation. Raises NotFound, also for one of a user whom the principal does not stand for."""
    return _seen(principal, await unit.conversations.get(conversation_id))


def _seen(principal: Principal, row: Conversation | None) -> Conversation:
    if row is None:
        raise NotFound("There is no such conversation.", code="conversation_not_found")
    users.check_visible(principal, row.user_id, "conversation")
    return row


async def change(
    unit: Unit, principal: Principal, conversation_id: UUID, wanted: ConversationPatch, *, desk: Desk
) -> Conversation:
    """Change title, context or client tools. Raises NotFound, InvalidInput."""
    row = _seen(principal, await unit.conversations.lock(conversation_id))
    given = {name: getattr(wanted, name) for name in wanted.model_fields_set}
    for name in ("context_data", "context_changes", "client_tools", "context_untrusted"):
        if given.get(name, ...) is None:
            raise InvalidInput(f"body.{name}: give a value, or leave the field out.")
    values = {name: given[name] for name in ("title", "context_changes") if name in given}
    values |= contexts.replaced(row, given, most=desk.context_bytes)
    if wanted.client_tools is not None:
        values["client_tools"] = client_tools.declared(wanted.client_tools, taken=desk.tool_names())
    if wanted.context_untrusted:
        values["taint"] = sorted({*row.taint, contexts.TAINT})
    return _seen(principal, await unit.conversations.change(row.id, values)) if values else row


_OF_CONTEXT = ("context_data", "context_version", "context_schema", "context_changes", "client_tools")
_COPIED = ("user_id", "pattern", "agent", "targets", "grants", "taint", *_OF_CONTEXT)


async def fork(
    unit: Unit, principal: Principal, conversation_id: UUID, wanted: ForkIn, *, once: Once | None
) -> Created:
    """A new conversation that shares the log up to a message, or all of it. Raises NotFound.

    Tool calls that are open at that point are closed as not carried out: the fork has no run that could do them.
    """
    fork_id = new_id()
    existing = await earlier(unit, once, fork_id)
    if existing is not None:
        return await get(unit, principal, existing), True
    source = _seen(principal, await unit.conversations.lock(conversation_id))
    log = ConversationLog(unit.connection, unit.workspace_id)
    known = {entry.id for entry in await log.entries(source.id)}
    if wanted.at is not None and wanted.at not in known:
        raise NotFound("There is no such message in this conversation.", code="message_not_found")
    kept = {name: getattr(source, name) for name in _COPIED}
    if source.expires_at is not None:
        await unit.conversations.change(source.id, {"expires_at": None})  # what a fork shares must stay
    row = await unit.conversations.add({**kept, "id": fork_id, "title": wanted.title or source.title})
    if source.revision is not None:
        await _share_log(unit, source.id, fork_id, wanted.at)
        row = await get(unit, principal, fork_id)
    return row, False


async def _share_log(unit: Unit, source_id: UUID, fork_id: UUID, at: UUID | None) -> None:
    log = ConversationLog(unit.connection, unit.workspace_id)
    forked = await log.fork(str(source_id), from_entry=str(at) if at else None, new_conversation_id=str(fork_id))
    await unit.summaries.point(fork_id)
    record = log.record
    assert record is not None
    closing = history.close(forked.messages, [])
    if closing or record.deferred_tool_requests is not None:
        await log.append(record, closing, [new_id() for _ in closing], usage=record.usage, deferred=None, stored=True)


async def erase(unit: Unit, principal: Principal, conversation_id: UUID) -> None:
    """Erase the conversation, its runs, the conversations of runs that they began, and what of the log nobody shares.

    Raises NotFound, and Conflict while a run is being executed: cancel it first.
    """
    await _erase(unit, _seen(principal, await unit.conversations.lock(conversation_id)))


async def _erase(unit: Unit, row: Conversation) -> None:
    for run in await unit.runs.active_of(row.id):
        if run.status == "running":
            raise Conflict(
                "A run is active in this conversation. Cancel it first.",
                code="conversation_busy",
                extra={"active_run_id": str(run.id)},
            )
    for child_id in await unit.runs.conversations_begun_by(row.id):
        child = await unit.conversations.lock(child_id)
        if child is not None:
            await _erase(unit, child)
    await unit.files.erase_made_in(row.id)
    await ConversationLog(unit.connection, unit.workspace_id).erase(row.id)


async def page(
    unit: Unit,
    principal: Principal,
    *,
    limit: int,
    after: UUID | None,
    pattern: str | None = None,
    user_id: str | None = None,
) -> list[Conversation]:
    """Conversations, the newest first; of one user when `user_id` names one."""
    whose, nobody = await users.filtered(unit, principal, user_id)
    if nobody:
        return []
    return await unit.conversations.page(limit=limit, after=after, user_id=whose, pattern=pattern)


async def show(unit: Unit, rows: list[Conversation]) -> list[ConversationOut]:
    """Conversations as clients see them."""
    ids = [row.id for row in rows]
    names = await unit.users.names([row.user_id for row in rows])
    heads = await unit.conversations.heads(ids)
    used = await unit.conversations.usage(ids)
    return [_shown(row, names, heads, used) for row in rows]


def _shown(row: Conversation, names: dict[UUID, str], heads: dict[UUID, Any], used: dict[UUID, Any]) -> ConversationOut:
    run_id, status = heads.get(row.id, (None, "idle"))
    return ConversationOut(
        id=row.id,
        pattern_type=row.pattern,
        agent=row.agent,
        title=row.title,
        context_data=row.context_data,
        context_version=row.context_version,
        context_schema=row.context_schema,
        context_changes=cast("ContextChanges", row.context_changes),
        client_tools=[ClientToolIn.model_validate(one) for one in row.client_tools],
        taint=row.taint,
        status=status,
        active_run_id=run_id,
        user_id=names[row.user_id],
        targets=row.targets,
        usage=Usage.model_validate(used.get(row.id, {})),
        forked_from=row.forked_from,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
