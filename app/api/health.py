"""What operators ask: is it alive, is it ready, what is it, what does it count."""

from typing import Any

from fastapi import APIRouter, Response

from app.api.deps import Anyone, Probe, Readiness, RuntimeDep
from app.api.examples import INFO, answers
from app.api.problems import errors
from app.api.route import StrictRoute
from app.integrations.metrics import CONTENT_TYPE
from app.models.errors import Unavailable
from app.models.events import CATALOGUE
from app.models.fleet import InfoOut, LiveOut, ModelOut, ReadyOut
from app.services import health

_METRICS: dict[str, Any] = {
    "description": "The text format of Prometheus",
    "content": {"text/plain": {"example": 'sixlane_runs{status="queued"} 3.0\n'}},
}

router = APIRouter(route_class=StrictRoute, tags=["operations"])


@router.get("/health/live", responses=answers(200, {"status": "ok"}))
async def live(_open: Probe) -> LiveOut:
    """Whether the process answers."""
    return LiveOut(status="ok")


@router.get("/health/ready", responses=answers(200, {"status": "ready", "degraded": []}))
async def ready(runtime: RuntimeDep, _open: Readiness) -> ReadyOut:
    """Whether the process can work: 503 with the reason while it cannot, also while the schema is too old.

    `degraded` names what is away and only costs time, such as Valkey.
    """
    if runtime.hub.closing:
        raise Unavailable("The process is shutting down.", code="shutting_down")
    await health.check_ready(runtime.database)
    return ReadyOut(status="ready", degraded=[] if runtime.bus.connected else ["valkey"])


@router.get("/info", responses=answers(200, INFO))
async def info(runtime: RuntimeDep, _principal: Anyone) -> InfoOut:
    """Version, model, limits, events, and the processes of the fleet."""
    choice, registry = runtime.works.models.default, runtime.works.registry
    settings = runtime.settings
    return InfoOut(
        version=runtime.version,
        mode=settings.env,
        model=ModelOut(name=choice.model, because=choice.because),
        limits={
            "max_body_bytes": settings.server.max_body_bytes,
            "page": 200,
            "max_attempts": settings.runs.max_attempts,
            "lease_seconds": settings.runs.lease_seconds,
            "runs_per_user": {
                "interactive": settings.runs.cap_user_interactive,
                "background": settings.runs.cap_user_background,
                "research": settings.runs.cap_user_research,
            },
        },
        patterns=[pattern.name for pattern in registry.patterns()],
        tools=[tool.name for tool in registry.tools()],
        events=[model.model_fields["type"].annotation.__args__[0] for model in CATALOGUE],  # type: ignore[union-attr]
        processes=await health.fleet(runtime.database),
    )


@router.get("/metrics", response_class=Response, responses={**errors(), 200: _METRICS})
async def metrics(runtime: RuntimeDep, _principal: Anyone) -> Response:
    """Metrics for Prometheus: open runs, queue age, tokens, cost, requests."""
    page = runtime.metrics.page(await health.census(runtime.database))
    return Response(page, media_type=CONTENT_TYPE)
