"""Usage: tokens, calls and money, in sum and by model."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from app.api.deps import ReadRuns, UnitDep
from app.api.examples import USAGE_REPORT, answers
from app.api.route import StrictRoute
from app.models.run import UsageOut
from app.services import usage

router = APIRouter(route_class=StrictRoute, tags=["usage"])

_Time = Annotated[AwareDatetime | None, Query(description="RFC 3339 with a time zone.", examples=[None])]
_User = Annotated[str | None, Query(min_length=1, max_length=255, examples=[None])]


@router.get("/usage", responses=answers(200, USAGE_REPORT))
async def get_usage(
    unit: UnitDep, principal: ReadRuns, user_id: _User = None, since: _Time = None, until: _Time = None
) -> UsageOut:
    """What runs used that were created from `since` until before `until`; of one user with `user_id`."""
    return await usage.total(unit, principal, user_id=user_id, since=since, until=until)
