"""What a workspace, or one user of it, has used."""

from datetime import datetime
from decimal import Decimal

from app.database.unit import Unit
from app.models.errors import InvalidInput
from app.models.identity import Principal
from app.models.run import ModelUsage, Usage, UsageOut
from app.services import users


async def total(
    unit: Unit, principal: Principal, *, user_id: str | None, since: datetime | None, until: datetime | None
) -> UsageOut:
    """Usage of the runs created in the time, in sum and by model; of one user when `user_id` names one.

    The sum's `cost_usd` is null as soon as one model's is. Raises InvalidInput for a time that ends before it begins.
    """
    if since is not None and until is not None and until <= since:
        raise InvalidInput("query.until: it must be later than `since`.")
    whose, nobody = await users.filtered(unit, principal, user_id)
    rows = [] if nobody else await unit.runs.usage_by_model(user_id=whose, since=since, until=until)
    models = [
        ModelUsage(model=row["model"], runs=row["runs"], usage=Usage.model_validate(row["usage"])) for row in rows
    ]
    return UsageOut(runs=sum(one.runs for one in models), usage=_sum([one.usage for one in models]), models=models)


def _sum(parts: list[Usage]) -> Usage:
    spent = [part.cost_usd for part in parts if part.requests]
    known = [cost for cost in spent if cost is not None]
    counts = ("requests", "tool_calls", "input_tokens", "output_tokens", "total_tokens")
    return Usage(
        **{name: sum(getattr(part, name) for part in parts) for name in counts},
        cost_usd=sum(known, Decimal()) if known and len(known) == len(spent) else None,
    )
