"""Schedules: a look ahead, pause and resume, and what became of every due time."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.api.deps import BaseUrl, ObjectId, ReadTasks, RunTasks, RuntimeDep, UnitDep, WriteTasks
from app.api.examples import TASK, answers, page
from app.api.examples_schedules import BACKFILL, OCCURRENCE, PAUSED_TASK, PREVIEW, SKIPPED
from app.api.pages import PageQuery, page_of
from app.api.route import StrictRoute
from app.models.page import Page
from app.models.schedule import (
    BackfillIn,
    BackfillOut,
    Occurrence,
    OccurrenceOut,
    Outcome,
    PauseIn,
    PreviewIn,
    PreviewOut,
)
from app.models.task import TaskOut
from app.services import schedules, task_views

router = APIRouter(route_class=StrictRoute, tags=["schedules"])


class OccurrenceQuery(PageQuery):
    """Which occurrences to list."""

    outcome: Outcome | None = Field(default=None, examples=[None])


@router.post("/schedules/preview", responses=answers(200, PREVIEW))
async def preview_schedule(body: PreviewIn, unit: UnitDep, runtime: RuntimeDep, _principal: ReadTasks) -> PreviewOut:
    """See a schedule in words and its next due times, with what the changes of the clocks do to them."""
    return await schedules.show(unit, body, min_seconds=runtime.settings.schedules.min_seconds)


@router.get("/tasks/{task_id}/occurrences", responses=answers(200, page(OCCURRENCE, SKIPPED), 404))
async def list_occurrences(
    task_id: ObjectId, unit: UnitDep, principal: ReadTasks, query: Annotated[OccurrenceQuery, Query()]
) -> Page[OccurrenceOut]:
    """List the due times of a task, the latest first: what became of each, why, and how late it was."""

    async def show(rows: list[Occurrence]) -> list[OccurrenceOut]:
        return [schedules.shown(row) for row in rows]

    return await page_of(
        unit.workspace_id,
        query,
        lambda limit, after: schedules.page(unit, principal, task_id, limit=limit, after=after, outcome=query.outcome),
        show,
    )


@router.post("/tasks/{task_id}/pause", responses=answers(200, PAUSED_TASK, 404))
async def pause_task(
    task_id: ObjectId, unit: UnitDep, principal: WriteTasks, base: BaseUrl, body: PauseIn | None = None
) -> TaskOut:
    """Pause a task: its due times are skipped, with the reason, until it is resumed. Runs that began go on."""
    row = await schedules.pause(unit, principal, task_id, body.reason if body else None)
    return (await task_views.show(unit, [row], base))[0]


@router.post("/tasks/{task_id}/resume", responses=answers(200, TASK, 404))
async def resume_task(task_id: ObjectId, unit: UnitDep, principal: WriteTasks, base: BaseUrl) -> TaskOut:
    """Resume a paused task. What was skipped stays skipped; a backfill makes up for it."""
    return (await task_views.show(unit, [await schedules.resume(unit, principal, task_id)], base))[0]


@router.post("/tasks/{task_id}/backfill", responses=answers(200, BACKFILL, 404, 409))
async def backfill_task(task_id: ObjectId, body: BackfillIn, unit: UnitDep, principal: RunTasks) -> BackfillOut:
    """Run a task for due times of the past that did not run; a dry run, the default, lists them.

    Each due time runs once, however often this is asked.
    """
    return await schedules.backfill(unit, principal, task_id, body)
