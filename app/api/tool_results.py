"""Answers of the client to calls of its tools: a run that waits for them goes on."""

from fastapi import APIRouter, Request, Response

from app.api.deps import ObjectId, RuntimeDep, WriteConversations
from app.api.examples import RUN, answers, streamed
from app.api.route import StrictRoute
from app.api.stream import event_stream, wants_stream
from app.models.client_tool import ToolResultsIn
from app.models.run import RunOut
from app.services import client_tools, runs
from app.services.events import follow

router = APIRouter(route_class=StrictRoute, tags=["runs"])


@router.post("/runs/{run_id}/tool-results", response_model=RunOut, responses=streamed(answers(200, RUN, 404, 409)))
async def answer_calls(
    run_id: ObjectId, body: ToolResultsIn, request: Request, runtime: RuntimeDep, principal: WriteConversations
) -> Response:
    """Answer calls that a run waits for, all of these or none, at any server. The last answer lets the run go on.

    200 with the run as it is then, or with `stream` the events from there. A call is answered once: 409
    `already_answered`, `call_expired` or `call_void` for one that is settled, 404 `call_not_found` for one that is not
    there.
    """
    most = runtime.settings.server.max_context_bytes
    async with runtime.database.begin(principal.workspace_id) as unit:
        run = await client_tools.answer(unit, principal, run_id, body.results, most=most)
        shown = (await runs.show(unit, [run]))[0]
    if body.stream or wants_stream(request):
        return event_stream(follow(runtime.database, runtime.hub, run.workspace_id, run.id, run.last_seq))
    return Response(shown.model_dump_json(), media_type="application/json")
