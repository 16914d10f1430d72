"""Approvals: what people owe runs, and their decisions."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from app.api.deps import DecideApprovals, DeskDep, ObjectId, ReadApprovals, UnitDep
from app.api.examples import APPROVAL, DECIDED, answers, page
from app.api.pages import PageQuery, page_of
from app.api.route import StrictRoute
from app.models.approval import Approval, ApprovalOut, ApprovalStatus, DecisionIn, approval_out
from app.models.page import Page
from app.services import approvals

router = APIRouter(route_class=StrictRoute, tags=["approvals"])


class ApprovalQuery(PageQuery):
    """Which approvals to list."""

    status: ApprovalStatus | None = Field(default=None, examples=["pending"])
    run_id: UUID | None = Field(default=None, examples=[None])
    user_id: str | None = Field(default=None, min_length=1, max_length=255, examples=[None])


async def _shown(rows: list[Approval]) -> list[ApprovalOut]:
    return [approval_out(row) for row in rows]


@router.get("/approvals", responses=answers(200, page(APPROVAL)))
async def list_approvals(
    unit: UnitDep, principal: ReadApprovals, query: Annotated[ApprovalQuery, Query()]
) -> Page[ApprovalOut]:
    """List approvals, the newest first."""
    return await page_of(
        unit.workspace_id,
        query,
        lambda limit, after: approvals.page(
            unit,
            principal,
            limit=limit,
            after=after,
            status=query.status,
            run_id=query.run_id,
            user_id=query.user_id,
        ),
        _shown,
    )


@router.get("/approvals/{approval_id}", responses=answers(200, APPROVAL, 404))
async def get_approval(approval_id: ObjectId, unit: UnitDep, principal: ReadApprovals) -> ApprovalOut:
    """Get an approval with the exact arguments that it is about."""
    return approval_out(await approvals.get(unit, principal, approval_id))


@router.post("/approvals/{approval_id}/decision", responses=answers(200, DECIDED, 404, 409))
async def decide_approval(
    approval_id: ObjectId, body: DecisionIn, unit: UnitDep, principal: DecideApprovals, desk: DeskDep
) -> ApprovalOut:
    """Decide an approval, once. When nothing else of the run is open, the run goes on.

    `arguments` that come with `edit` must be ones that the tool takes; the policy judges them anew before the call.
    """
    return approval_out(await approvals.decide(unit, principal, approval_id, body, tools=desk.registry))
