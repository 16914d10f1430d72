"""The door of the Vercel AI SDK: `useChat` and its transport on a conversation."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.api.app_input import vercel_turn
from app.api.deps import ObjectId, OnceDep, ReadConversations, RuntimeDep, WriteConversations
from app.api.examples_protocols import VERCEL_STREAM, stream_of
from app.api.protocol_stream import DONE, protocol_stream
from app.api.route import StrictRoute
from app.api.vercel_chunks import VercelWriter
from app.models.app_protocols import VercelChatIn
from app.models.run import Run
from app.runtime import Runtime
from app.services import app_turns
from app.services.app_turns import AppMessage
from app.services.events import follow

router = APIRouter(route_class=StrictRoute, tags=["protocols"])

HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}


@router.post(
    "/conversations/{conversation_id}/vercel-ai",
    response_model=None,
    responses=stream_of(VERCEL_STREAM, 404, 409),
)
async def vercel_chat(
    conversation_id: ObjectId,
    body: VercelChatIn,
    runtime: RuntimeDep,
    principal: WriteConversations,
    once: OnceDep,
) -> Response:
    """Take the last message of a chat: the user's, or the assistant's with answers to tools and approvals.

    The answer is the UI message stream, version 1. A client that leaves cancels nothing.
    """
    turn, here = vercel_turn(body), runtime.works.chat
    if isinstance(turn, AppMessage):
        run, _ = await app_turns.say(here, principal, conversation_id, turn, once)
        return _stream(runtime, run, 0)
    run, after = await app_turns.answer(here, principal, conversation_id, turn, registry=runtime.registry)
    return _stream(runtime, run, after)


@router.get(
    "/conversations/{conversation_id}/vercel-ai/{chat_id}/stream",
    response_model=None,
    responses={**stream_of(VERCEL_STREAM, 404), 204: {"description": "Nothing is being answered."}},
)
async def resume_vercel_chat(
    conversation_id: ObjectId,
    chat_id: Annotated[str, Path(max_length=200, description="The client's own id of the chat; it does not matter.")],
    runtime: RuntimeDep,
    principal: ReadConversations,
) -> Response:
    """Follow the answer that is being given, from its beginning; 204 when there is none."""
    run = await app_turns.active(runtime.works.chat, principal, conversation_id)
    return Response(status_code=204, headers=HEADERS) if run is None else _stream(runtime, run, 0)


def _stream(runtime: Runtime, run: Run, after: int) -> Response:
    writer = VercelWriter(str(run.id), str(run.conversation_id), after=after)
    frames = follow(runtime.database, runtime.hub, run.workspace_id, run.id)
    return protocol_stream(frames, writer, last=DONE, headers={**HEADERS, "X-Run-ID": str(run.id)})
