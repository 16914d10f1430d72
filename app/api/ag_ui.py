"""The door of AG-UI clients: `HttpAgent` on a conversation."""

from fastapi import APIRouter, Response

from app.api.ag_ui_events import AgUiWriter
from app.api.app_input import ag_ui_turn
from app.api.deps import ObjectId, OnceDep, RuntimeDep, WriteConversations
from app.api.examples_protocols import AG_UI_STREAM, stream_of
from app.api.protocol_stream import protocol_stream
from app.api.route import StrictRoute
from app.models.app_protocols import AgUiRunIn
from app.services import app_turns
from app.services.app_turns import AppMessage
from app.services.events import follow

router = APIRouter(route_class=StrictRoute, tags=["protocols"])


@router.post("/conversations/{conversation_id}/ag-ui", response_model=None, responses=stream_of(AG_UI_STREAM, 404, 409))
async def ag_ui_run(
    conversation_id: ObjectId,
    body: AgUiRunIn,
    runtime: RuntimeDep,
    principal: WriteConversations,
    once: OnceDep,
) -> Response:
    """Take an AG-UI run: a message, what the client's tools returned, or answers to interrupts.

    `state` and `tools`, where given, replace the conversation's context and client tools. The answer is a stream of
    AG-UI events. A client that leaves cancels nothing.
    """
    turn, here = ag_ui_turn(body), runtime.works.chat
    if isinstance(turn, AppMessage):
        (run, _), after = await app_turns.say(here, principal, conversation_id, turn, once), 0
    else:
        run, after = await app_turns.answer(here, principal, conversation_id, turn, registry=runtime.registry)
    state = await app_turns.state(here, principal, conversation_id)
    writer = AgUiWriter(str(run.id), body.thread_id, body.run_id, state or None, after=after)
    frames = follow(runtime.database, runtime.hub, run.workspace_id, run.id)
    return protocol_stream(frames, writer, headers={"X-Run-ID": str(run.id)})
