"""Branches of a conversation: edit a message, have an answer made anew, go back to another line."""

from fastapi import APIRouter, Request, Response

from app.api.deps import ObjectId, OnceDep, ReadConversations, RuntimeDep, UnitDep, WriteConversations
from app.api.examples import answers, page, streamed
from app.api.examples_branches import BRANCHED, TIP
from app.api.messages import turn_out
from app.api.route import StrictRoute
from app.api.stream import event_stream, wants_stream
from app.models.branch import BranchedOut, BranchIn, TipOut
from app.models.page import Page
from app.models.run import TERMINAL
from app.services import branches, chat
from app.services.events import follow

router = APIRouter(route_class=StrictRoute, tags=["conversations"])

_ANSWERS = streamed({**answers(200, BRANCHED, 404, 409), **answers(202, BRANCHED, 404, 409)})


@router.post("/conversations/{conversation_id}/branch", response_model=BranchedOut, responses=_ANSWERS)
async def branch_conversation(
    conversation_id: ObjectId,
    body: BranchIn,
    request: Request,
    runtime: RuntimeDep,
    principal: WriteConversations,
    once: OnceDep,
) -> Response:
    """Go on from an earlier message: edit it, have its answer made anew, or switch to another line.

    The line that is left stays among the branches.
    """
    stream = body.stream or wants_stream(request)
    works = runtime.works.chat
    made = await branches.branch(works, principal, conversation_id, body.from_, chat.Say(body.message, stream), once)
    headers = {"Idempotency-Replayed": "true"} if made.replayed else {}
    run = made.run
    if run is not None:
        headers["Location"] = f"/runs/{run.id}"
        if stream:
            return event_stream(follow(runtime.database, runtime.hub, run.workspace_id, run.id), headers)
    turn = await chat.answer(works, run) if run is not None else None
    shown = BranchedOut(from_id=made.from_id, left_id=made.left_id, turn=turn_out(turn) if turn else None)
    return Response(
        shown.model_dump_json(),
        status_code=200 if turn is None or turn.run.status in TERMINAL else 202,
        media_type="application/json",
        headers=headers,
    )


@router.get("/conversations/{conversation_id}/branches", responses=answers(200, page(TIP), 404))
async def list_branches(conversation_id: ObjectId, unit: UnitDep, principal: ReadConversations) -> Page[TipOut]:
    """List the ends of the conversation's lines, the newest first; there is one page."""
    found = await branches.tips(unit, principal, conversation_id)
    return Page[TipOut](data=[TipOut.model_validate(tip) for tip in found], has_more=False, next_cursor=None)
