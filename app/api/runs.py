"""Runs: what became of every execution, its events, and how to stop it or try again."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status
from pydantic import Field

from app.api.deps import CancelRuns, ObjectId, OnceDep, ReadRuns, RunTasks, RuntimeDep, UnitDep, mark
from app.api.examples import RUN, answers, page
from app.api.examples_research import SOURCE
from app.api.pages import PageQuery, page_of
from app.api.problems import errors
from app.api.route import StrictRoute
from app.api.stream import MEDIA_TYPE, STREAM_RESPONSE, EventPage, StartingAfter, event_page, event_stream
from app.models.page import Page
from app.models.research import SourceOut
from app.models.run import RunOut, RunStatus
from app.services import events, runs

router = APIRouter(route_class=StrictRoute, tags=["runs"])


class RunQuery(PageQuery):
    """Which runs to list."""

    status: RunStatus | None = Field(default=None, examples=[None])
    conversation_id: UUID | None = Field(default=None, examples=[None])
    task_id: UUID | None = Field(default=None, examples=[None])
    user_id: str | None = Field(default=None, min_length=1, max_length=255, examples=[None])
    parent_run_id: UUID | None = Field(default=None, description="Runs that this run began.", examples=[None])


@router.get("/runs", responses=answers(200, page(RUN)))
async def list_runs(unit: UnitDep, principal: ReadRuns, query: Annotated[RunQuery, Query()]) -> Page[RunOut]:
    """List runs, the newest first."""
    return await page_of(
        unit.workspace_id,
        query,
        lambda limit, after: runs.page(
            unit,
            principal,
            runs.Wanted(query.status, query.conversation_id, query.task_id, query.user_id, query.parent_run_id),
            limit=limit,
            after=after,
        ),
        lambda rows: runs.show(unit, rows),
    )


@router.get("/runs/{run_id}", responses=answers(200, RUN, 404))
async def get_run(run_id: ObjectId, unit: UnitDep, principal: ReadRuns) -> RunOut:
    """Get a run with what it came to, or what it waits for."""
    return (await runs.show(unit, [await runs.get(unit, principal, run_id)]))[0]


@router.get("/runs/{run_id}/events", response_model=EventPage, responses={**errors(404), 200: STREAM_RESPONSE})
async def run_events(
    run_id: ObjectId,
    request: Request,
    runtime: RuntimeDep,
    unit: UnitDep,
    principal: ReadRuns,
    after: StartingAfter,
    limit: Annotated[int, Query(ge=1, le=200, description="Events on a page of JSON.")] = 100,
) -> Response:
    """Follow a run: its events so far and as they come, up to the last one.

    With `Accept: application/json` one page of the stored ones instead.
    """
    run = await runs.get(unit, principal, run_id)
    accepted = request.headers.get("accept", "").lower()
    if "application/json" in accepted and MEDIA_TYPE not in accepted:
        frames, more = await events.page(unit, run.id, after, limit)
        return event_page(frames, has_more=more)
    return event_stream(events.follow(runtime.database, runtime.hub, run.workspace_id, run.id, after))


@router.get("/runs/{run_id}/sources", responses=answers(200, [SOURCE], 404))
async def run_sources(run_id: ObjectId, unit: UnitDep, principal: ReadRuns) -> list[SourceOut]:
    """List what a run really read: of a research, what all its researchers did. Cited sources come first."""
    return await runs.sources(unit, principal, run_id)


@router.post("/runs/{run_id}/cancel", status_code=status.HTTP_202_ACCEPTED, responses=answers(202, RUN, 404, 409))
async def cancel_run(run_id: ObjectId, unit: UnitDep, principal: CancelRuns) -> RunOut:
    """Ask a run to stop. The answer is the run as it is now; one that has ended is left alone."""
    return (await runs.show(unit, [await runs.cancel(unit, principal, run_id)]))[0]


@router.post("/runs/{run_id}/retry", status_code=status.HTTP_202_ACCEPTED, responses=answers(202, RUN, 404, 409))
async def retry_run(run_id: ObjectId, unit: UnitDep, principal: RunTasks, once: OnceDep, response: Response) -> RunOut:
    """Try a failed or cancelled run again, as a new run of the same conversation."""
    run, replayed = await runs.retry(unit, principal, run_id, once=once)
    mark(response, f"/runs/{run.id}", replayed=replayed)
    return (await runs.show(unit, [run]))[0]
