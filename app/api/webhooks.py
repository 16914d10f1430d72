"""Webhooks in: the door that senders call, and how people look after it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response, status
from pydantic import Field

from app.api.body import read_body
from app.api.callers import is_local_caller
from app.api.deps import (
    BaseUrl,
    Keyless,
    ObjectId,
    OnceDep,
    ReadTasks,
    RunTasks,
    RuntimeDep,
    UnitDep,
    WriteTasks,
    mark,
    runtime_of,
)
from app.api.examples import answers, page
from app.api.examples_webhooks import ACCEPTED, DUPLICATE, EVENT, REPLAYED, SECRET, TRIED, WHOLE_EVENT
from app.api.pages import PageQuery, page_of
from app.api.rates import limited
from app.api.route import StrictRoute
from app.models.page import Page
from app.models.trigger import (
    EventOutcome,
    InboundEvent,
    RotateIn,
    SecretOut,
    TryIn,
    TryOut,
    WebhookAnswer,
    WebhookEventDetail,
    WebhookEventOut,
)
from app.runtime import Runtime
from app.services import webhooks
from app.services.inbound import Challenge, Incoming, Receiver
from app.services.triggers import Gate

router = APIRouter(route_class=StrictRoute, tags=["webhooks"])

Sender = Annotated[None, Depends(Keyless(anywhere=True, counted=False))]
"""Whoever sends: the door itself verifies the signature."""

_ANY_BODY: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/json": {"schema": {}, "example": {"event": "data_received"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        }
    }
}


class EventQuery(PageQuery):
    """Which events to list."""

    outcome: EventOutcome | None = Field(default=None, examples=[None])


def receiver_of(request: Request) -> Receiver:
    """The process' receiver of webhooks."""
    state = request.app.state
    receiver: Receiver | None = getattr(state, "webhook_receiver", None)
    if receiver is None:
        runtime = runtime_of(request)
        receiver = state.webhook_receiver = Receiver(runtime.database, _gate(runtime), runtime.tasks.start)
    return receiver


def _gate(runtime: Runtime) -> Gate:
    settings = runtime.settings
    return Gate(runtime.vault, settings.webhooks.tolerance_seconds, settings.env == "local")


def _headers(request: Request) -> dict[str, str]:
    """The headers by lower-case name; one that came more than once as a list."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


@router.post(
    "/tasks/webhooks/{task_id}",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=WebhookAnswer,
    responses={**answers(200, DUPLICATE), **answers(202, ACCEPTED, 404, 410, 429)},
    openapi_extra=_ANY_BODY,
)
async def receive_webhook(task_id: ObjectId, request: Request, _sender: Sender) -> Response:
    """Take an event in; the sender signs it as the task's `trigger_config` says, and needs no API key.

    202 with the run that it begins (`held` events begin one together, a little later), 200 for one that came before
    or that the filter keeps out. 401 is the same for every cause. 410: the task is switched off. The body is read as
    raw bytes whatever its content type.
    """
    settings = runtime_of(request).settings
    incoming = Incoming(
        task_id=task_id,
        headers=_headers(request),
        body=await read_body(request, settings.webhooks.max_bytes),
        at_home=settings.env == "local" and is_local_caller(request.scope),
    )
    answer = await receiver_of(request).receive(incoming, lambda: limited(request, ("trigger", str(task_id))))
    if isinstance(answer, Challenge):
        return Response(answer.word, media_type="text/plain")
    code = 200 if answer.duplicate or answer.outcome == "filtered" else 202
    return Response(answer.__pydantic_serializer__.to_json(answer), code, media_type="application/json")


@router.post("/tasks/{task_id}/webhook/rotate", responses=answers(200, SECRET, 404, 409))
async def rotate_webhook_secret(
    task_id: ObjectId,
    unit: UnitDep,
    principal: WriteTasks,
    runtime: RuntimeDep,
    base: BaseUrl,
    body: RotateIn | None = None,
) -> SecretOut:
    """Give the webhook a new secret, shown this once. The one before stays valid for `grace_hours`."""
    return await webhooks.rotate(unit, principal, task_id, body or RotateIn(), vault=runtime.vault, base_url=base)


@router.post("/tasks/{task_id}/webhook/test", responses=answers(200, TRIED, 404, 409))
async def try_webhook(
    task_id: ObjectId, unit: UnitDep, principal: WriteTasks, runtime: RuntimeDep, body: TryIn | None = None
) -> TryOut:
    """Show what would become of a request: signature, filter, variables, prompt. Nothing is stored, nothing runs."""
    return await webhooks.try_out(unit, principal, task_id, body or TryIn(), gate=_gate(runtime))


@router.get("/tasks/{task_id}/webhook/deliveries", responses=answers(200, page(EVENT), 404, 409))
async def list_webhook_deliveries(
    task_id: ObjectId, unit: UnitDep, principal: ReadTasks, query: Annotated[EventQuery, Query()]
) -> Page[WebhookEventOut]:
    """List the events that came in, the newest first, with what became of each."""

    async def shown(rows: list[InboundEvent]) -> list[WebhookEventOut]:
        return [webhooks.shown(row) for row in rows]

    return await page_of(
        unit.workspace_id,
        query,
        lambda limit, after: webhooks.page(unit, principal, task_id, limit=limit, after=after, outcome=query.outcome),
        shown,
    )


@router.get("/tasks/{task_id}/webhook/deliveries/{event_id}", responses=answers(200, WHOLE_EVENT, 404, 409))
async def get_webhook_delivery(
    task_id: ObjectId, event_id: ObjectId, unit: UnitDep, principal: ReadTasks
) -> WebhookEventDetail:
    """Get one event with its headers and its body as text."""
    return webhooks.shown_whole(await webhooks.get(unit, principal, task_id, event_id))


@router.post(
    "/tasks/{task_id}/webhook/deliveries/{event_id}/replay",
    status_code=status.HTTP_202_ACCEPTED,
    responses=answers(202, REPLAYED, 404, 409),
)
async def replay_webhook_delivery(
    task_id: ObjectId, event_id: ObjectId, unit: UnitDep, principal: RunTasks, once: OnceDep, response: Response
) -> WebhookAnswer:
    """Begin a new run with an event that came, past filter and deduplication."""
    answer, replayed = await webhooks.replay(unit, principal, task_id, event_id, once=once)
    mark(response, f"/runs/{answer.run_id}", replayed=replayed)
    return answer
