"""Messages of a conversation: a turn is one POST, answered as JSON or as a stream of events."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.api.deps import ObjectId, OnceDep, ReadConversations, RuntimeDep, UnitDep, WriteConversations
from app.api.examples import MESSAGE, TURN, WAITING_TURN, answers, page, streamed
from app.api.pages import Paging, page_of
from app.api.route import StrictRoute
from app.api.stream import event_stream, wants_stream
from app.models.approval import approval_out
from app.models.awaited import client_call_out
from app.models.conversation import ContinueIn, MessageCreate, MessageOut, ReplyOut, TurnOut
from app.models.errors import InvalidInput
from app.models.identity import Principal
from app.models.page import Page
from app.models.run import TERMINAL, Usage
from app.runtime import Runtime
from app.services import chat, conversations, messages
from app.services.events import follow
from app.services.extras import Extras
from app.services.idempotency import Once

router = APIRouter(route_class=StrictRoute, tags=["conversations"])

_ANSWERS = streamed({**answers(200, TURN, 404, 409), **answers(202, WAITING_TURN, 404, 409)} | answers(200, TURN))


@router.post("/conversations/{conversation_id}/messages", response_model=TurnOut, responses=_ANSWERS)
async def send_message(
    conversation_id: ObjectId,
    body: MessageCreate,
    request: Request,
    runtime: RuntimeDep,
    principal: WriteConversations,
    once: OnceDep,
) -> Response:
    """Send a message. 200 with the answer, 202 while a person must decide, or a stream of events.

    A stream is asked for with `stream` or with `Accept: text/event-stream`. A client that leaves cancels nothing.
    """
    stream = body.stream or wants_stream(request)
    return await _turn(runtime, principal, conversation_id, _wish(body, stream), once)


@router.post("/conversations/{conversation_id}/continue", response_model=TurnOut, responses=_ANSWERS)
async def continue_conversation(
    conversation_id: ObjectId,
    request: Request,
    runtime: RuntimeDep,
    principal: WriteConversations,
    once: OnceDep,
    body: ContinueIn | None = None,
) -> Response:
    """Go on with the thread, with a further message or from where the log stands."""
    wanted = body or ContinueIn()
    stream = wanted.stream or wants_stream(request)
    return await _turn(runtime, principal, conversation_id, _wish(wanted, stream), once)


def _wish(body: MessageCreate | ContinueIn, stream: bool) -> chat.Say:
    more = Extras(body.files, body.output_schema)
    said = body.overrides if isinstance(body, MessageCreate) else None
    return chat.Say(body.message, stream, body.on_busy, body.context, more, said)


async def _turn(
    runtime: Runtime, principal: Principal, conversation_id: UUID, wanted: chat.Say, once: Once | None
) -> Response:
    run, replayed, steered = await chat.say(runtime.works.chat, principal, conversation_id, wanted, once)
    headers = {"Location": f"/runs/{run.id}"}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    if wanted.stream:
        after = run.last_seq if steered else 0
        return event_stream(follow(runtime.database, runtime.hub, run.workspace_id, run.id, after), headers)
    turn = chat.Turn(run, None, []) if steered else await chat.answer(runtime.works.chat, run)
    return Response(
        turn_out(turn, steered=steered).model_dump_json(),
        status_code=200 if turn.run.status in TERMINAL else 202,
        media_type="application/json",
        headers=headers,
    )


def turn_out(turn: chat.Turn, *, steered: bool = False) -> TurnOut:
    """A turn as clients see it."""
    run, result = turn.run, turn.result
    reply = None
    if result is not None and result.text is not None:
        reply = ReplyOut(id=result.entry_id, role="assistant", content=result.text)
    return TurnOut(
        run_id=run.id,
        conversation_id=run.conversation_id,
        status=run.status,
        message=reply,
        data=result.data if result is not None else None,
        usage=Usage.model_validate(run.usage),
        model=run.model,
        approvals=[approval_out(row) for row in turn.approvals],
        tool_calls=[client_call_out(call) for call in turn.calls if call.kind == "client"],
        error=result.error if result is not None else None,
        steered=steered,
    )


@router.get("/conversations/{conversation_id}/messages", responses=answers(200, page(MESSAGE), 404))
async def list_messages(
    conversation_id: ObjectId, unit: UnitDep, principal: ReadConversations, query: Paging
) -> Page[MessageOut]:
    """List the log, the oldest message first; inputs of runs that wait for their turn come last, as `pending`."""
    row = await conversations.get(unit, principal, conversation_id)

    async def read(limit: int, after: UUID | None) -> list[MessageOut]:
        items = await messages.listed(unit, row.id)
        if after is None:
            return items[:limit]
        start = next((place for place, item in enumerate(items, 1) if item.id == after), None)
        if start is None:
            raise InvalidInput("query.after: that message is gone; start again.", code="invalid_cursor")
        return items[start : start + limit]

    async def show(items: list[MessageOut]) -> list[MessageOut]:
        return items

    return await page_of(unit.workspace_id, query, read, show)
