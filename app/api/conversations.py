"""Conversations: made, listed, changed, forked and erased."""

from typing import Annotated

from fastapi import APIRouter, Query, Response, status
from pydantic import Field

from app.api.deps import DeskDep, ObjectId, OnceDep, ReadConversations, UnitDep, WriteConversations, mark
from app.api.examples import CONVERSATION, answers, page
from app.api.pages import PageQuery, page_of
from app.api.problems import errors
from app.api.route import StrictRoute
from app.models.conversation import ConversationCreate, ConversationOut, ConversationPatch, ForkIn
from app.models.page import Page
from app.services import conversations

router = APIRouter(route_class=StrictRoute, tags=["conversations"])


class ConversationQuery(PageQuery):
    """Which conversations to list."""

    pattern_type: str | None = Field(default=None, max_length=50, examples=[None])
    user_id: str | None = Field(default=None, min_length=1, max_length=255, examples=[None])


@router.post("/conversations", status_code=status.HTTP_201_CREATED, responses=answers(201, CONVERSATION))
async def create_conversation(
    body: ConversationCreate,
    unit: UnitDep,
    principal: WriteConversations,
    desk: DeskDep,
    once: OnceDep,
    response: Response,
) -> ConversationOut:
    """Begin a conversation."""
    row, replayed = await conversations.create(unit, principal, body, desk=desk, once=once)
    mark(response, f"/conversations/{row.id}", replayed=replayed)
    return (await conversations.show(unit, [row]))[0]


@router.get("/conversations", responses=answers(200, page(CONVERSATION)))
async def list_conversations(
    unit: UnitDep, principal: ReadConversations, query: Annotated[ConversationQuery, Query()]
) -> Page[ConversationOut]:
    """List conversations, the newest first."""
    return await page_of(
        unit.workspace_id,
        query,
        lambda limit, after: conversations.page(
            unit, principal, limit=limit, after=after, pattern=query.pattern_type, user_id=query.user_id
        ),
        lambda rows: conversations.show(unit, rows),
    )


@router.get("/conversations/{conversation_id}", responses=answers(200, CONVERSATION, 404))
async def get_conversation(conversation_id: ObjectId, unit: UnitDep, principal: ReadConversations) -> ConversationOut:
    """Get a conversation; `status` and `active_run_id` tell of the run at its head."""
    row = await conversations.get(unit, principal, conversation_id)
    return (await conversations.show(unit, [row]))[0]


@router.patch("/conversations/{conversation_id}", responses=answers(200, CONVERSATION, 404))
async def change_conversation(
    conversation_id: ObjectId, body: ConversationPatch, unit: UnitDep, principal: WriteConversations, desk: DeskDep
) -> ConversationOut:
    """Change title, context or client tools of a conversation; tools count from its next run on."""
    row = await conversations.change(unit, principal, conversation_id, body, desk=desk)
    return (await conversations.show(unit, [row]))[0]


@router.delete("/conversations/{conversation_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(404, 409))
async def erase_conversation(conversation_id: ObjectId, unit: UnitDep, principal: WriteConversations) -> None:
    """Erase a conversation for good, with its runs; forks keep what they share."""
    await conversations.erase(unit, principal, conversation_id)


@router.post(
    "/conversations/{conversation_id}/fork",
    status_code=status.HTTP_201_CREATED,
    responses=answers(201, CONVERSATION, 404, 409),
)
async def fork_conversation(
    conversation_id: ObjectId,
    unit: UnitDep,
    principal: WriteConversations,
    once: OnceDep,
    response: Response,
    body: ForkIn | None = None,
) -> ConversationOut:
    """Begin a new conversation that shares this one's log up to a message."""
    row, replayed = await conversations.fork(unit, principal, conversation_id, body or ForkIn(), once=once)
    mark(response, f"/conversations/{row.id}", replayed=replayed)
    return (await conversations.show(unit, [row]))[0]
