"""Adding up what runs used, in the database."""

from typing import Any
from uuid import UUID

from sqlalchemy import Column, Numeric, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import runs

COUNTED = ("requests", "tool_calls", "input_tokens", "output_tokens", "total_tokens")


async def usage_by(
    connection: AsyncConnection, workspace_id: UUID, column: Column[Any], ids: list[UUID]
) -> dict[UUID, dict[str, Any]]:
    """Usage summed over the runs of each id in `column`; ids without runs are left out.

    `cost_usd` is null as soon as one run that asked a model has no known cost.
    """
    if not ids:
        return {}
    cost = runs.c.usage["cost_usd"].as_string()
    unpriced = func.count().filter(and_(runs.c.usage["requests"].as_integer() > 0, cost.is_(None)))
    statement = (
        select(
            column,
            *(func.coalesce(func.sum(runs.c.usage[name].as_integer()), 0).label(name) for name in COUNTED),
            func.sum(cost.cast(Numeric())).label("cost_usd"),
            unpriced.label("unpriced"),
        )
        .where(runs.c.workspace_id == workspace_id, column.in_(ids))
        .group_by(column)
    )
    found: dict[UUID, dict[str, Any]] = {}
    for row in await connection.execute(statement):
        values: list[Any] = list(row)
        found[values[0]] = {
            **dict(zip(COUNTED, values[1:-2], strict=True)),
            "cost_usd": None if values[-1] else values[-2],
        }
    return found
