"""Tasks: saved orders that run in the background."""

from typing import Annotated

from fastapi import APIRouter, Query, Response, status
from pydantic import Field

from app.api.deps import BaseUrl, DeskDep, ObjectId, OnceDep, ReadTasks, RunTasks, UnitDep, WriteTasks, mark
from app.api.examples import DISABLED_TASK, EXECUTION, NEW_TASK, TASK, answers, page
from app.api.pages import PageQuery, page_of
from app.api.problems import errors
from app.api.route import StrictRoute
from app.models.page import Page
from app.models.task import ExecutionOut, TaskCreate, TaskCreated, TaskOut, TaskPatch, TaskStatus
from app.services import task_views, tasks

router = APIRouter(route_class=StrictRoute, tags=["tasks"])


class TaskQuery(PageQuery):
    """Which tasks to list."""

    task_type: str | None = Field(default=None, max_length=50, examples=[None])
    status: TaskStatus | None = Field(default=None, examples=[None])
    user_id: str | None = Field(default=None, min_length=1, max_length=255, examples=[None])


@router.post("/tasks", status_code=status.HTTP_201_CREATED, responses=answers(201, NEW_TASK))
async def create_task(
    body: TaskCreate, unit: UnitDep, principal: WriteTasks, desk: DeskDep, once: OnceDep, response: Response
) -> TaskCreated:
    """Save a task.

    A delegation starts at once, and `last_run_id` is its run; others wait for their due time, their webhook, or the
    task that they depend on.
    """
    row, secret, replayed = await tasks.create(unit, principal, body, desk=desk, once=once)
    mark(response, f"/tasks/{row.id}", replayed=replayed)
    [shown] = await task_views.show(unit, [row], desk.base_url)
    return TaskCreated(**dict(shown), webhook_secret=secret)


@router.get("/tasks", responses=answers(200, page(TASK)))
async def list_tasks(
    unit: UnitDep, principal: ReadTasks, base: BaseUrl, query: Annotated[TaskQuery, Query()]
) -> Page[TaskOut]:
    """List tasks, the newest first."""
    return await page_of(
        unit.workspace_id,
        query,
        lambda limit, after: tasks.page(
            unit,
            principal,
            limit=limit,
            after=after,
            pattern=query.task_type,
            status=query.status,
            user_id=query.user_id,
        ),
        lambda rows: task_views.show(unit, rows, base),
    )


@router.get("/tasks/{task_id}", responses=answers(200, TASK, 404))
async def get_task(task_id: ObjectId, unit: UnitDep, principal: ReadTasks, base: BaseUrl) -> TaskOut:
    """Get a task with what its latest run came to."""
    return (await task_views.show(unit, [await tasks.get(unit, principal, task_id)], base))[0]


@router.patch("/tasks/{task_id}", responses=answers(200, TASK, 404))
async def change_task(
    task_id: ObjectId, body: TaskPatch, unit: UnitDep, principal: WriteTasks, desk: DeskDep
) -> TaskOut:
    """Change a task. Runs that began keep what they began with."""
    return (
        await task_views.show(unit, [await tasks.change(unit, principal, task_id, body, desk=desk)], desk.base_url)
    )[0]


@router.delete("/tasks/{task_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(404))
async def delete_task(task_id: ObjectId, unit: UnitDep, principal: WriteTasks) -> None:
    """Delete a task; its runs stay."""
    await tasks.delete(unit, principal, task_id)


@router.post(
    "/tasks/{task_id}/execute",
    status_code=status.HTTP_202_ACCEPTED,
    responses=answers(202, EXECUTION, 404, 409),
)
async def execute_task(
    task_id: ObjectId, unit: UnitDep, principal: RunTasks, desk: DeskDep, once: OnceDep, response: Response
) -> ExecutionOut:
    """Begin a run of the task now."""
    run_id, replayed = await tasks.execute(unit, principal, task_id, desk=desk, once=once)
    mark(response, f"/runs/{run_id}", replayed=replayed)
    return ExecutionOut(run_id=run_id, status_url=f"/runs/{run_id}")


@router.post("/tasks/{task_id}/disable", responses=answers(200, DISABLED_TASK, 404))
async def disable_task(task_id: ObjectId, unit: UnitDep, principal: WriteTasks, base: BaseUrl) -> TaskOut:
    """Disable a task: it begins no runs until it is enabled."""
    return (await task_views.show(unit, [await tasks.switch(unit, principal, task_id, on=False)], base))[0]


@router.post("/tasks/{task_id}/enable", responses=answers(200, TASK, 404))
async def enable_task(task_id: ObjectId, unit: UnitDep, principal: WriteTasks, base: BaseUrl) -> TaskOut:
    """Enable a disabled task."""
    return (await task_views.show(unit, [await tasks.switch(unit, principal, task_id, on=True)], base))[0]
