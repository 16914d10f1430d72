"""The context of a conversation: the application's state, read and changed in place."""

from typing import Annotated

from fastapi import APIRouter, Header, Response

from app.api.deps import DeskDep, ObjectId, ReadConversations, UnitDep, WriteConversations
from app.api.examples import answers
from app.api.examples_contexts import CONTEXT
from app.api.route import StrictRoute
from app.models.context import ContextChange, ContextOut, shown
from app.models.conversation import Conversation
from app.models.errors import InvalidInput
from app.services import contexts, conversations

router = APIRouter(route_class=StrictRoute, tags=["conversations"])

IfMatch = Annotated[
    str | None,
    Header(pattern=r'^"\d{1,9}"$', examples=[None], description='The version to change, as `ETag` gave it: "3".'),
]


@router.get("/conversations/{conversation_id}/context", responses=answers(200, CONTEXT, 404))
async def get_context(
    conversation_id: ObjectId, unit: UnitDep, principal: ReadConversations, response: Response
) -> ContextOut:
    """Get the context and its version; `ETag` has the version too."""
    return _answer(await conversations.get(unit, principal, conversation_id), response)


@router.patch("/conversations/{conversation_id}/context", responses=answers(200, CONTEXT, 404, 409))
async def change_context(
    conversation_id: ObjectId,
    body: ContextChange,
    unit: UnitDep,
    principal: WriteConversations,
    desk: DeskDep,
    response: Response,
    if_match: IfMatch = None,
) -> ContextOut:
    """Change the context by a JSON Patch (RFC 6902) or a JSON Merge Patch (RFC 7396), all of it or nothing.

    Changes without a version are made one after the other to whatever is there, so none is lost. With `version` or
    `If-Match` a change is made to that version only: 409 `context_changed` names the present one. A `test` that does
    not hold is a 409 `test_failed`; an operation that leads nowhere, or data that do not fit the schema, a 422.
    """
    change = body
    if if_match is not None:
        version = int(if_match.strip('"'))
        if body.version not in (None, version):
            raise InvalidInput("header.if-match: it names another version than the body does.")
        change = body.model_copy(update={"version": version})
    row = await contexts.change(unit, principal, conversation_id, change, most=desk.context_bytes)
    return _answer(row, response)


def _answer(row: Conversation, response: Response) -> ContextOut:
    response.headers["ETag"] = f'"{row.context_version}"'
    return shown(row.context_data, row.context_version)
