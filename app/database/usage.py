"""Adding up what runs used, in the database."""

from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Numeric, RowMapping, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import runs

COUNTED = ("requests", "tool_calls", "input_tokens", "output_tokens", "total_tokens")


def used() -> list[ColumnElement[Any]]:
    """Columns that add up what a group of runs used; `usage_in` reads them."""
    cost = runs.c.usage["cost_usd"].as_string()
    unpriced = func.count().filter(and_(runs.c.usage["requests"].as_integer() > 0, cost.is_(None)))
    sums = [func.coalesce(func.sum(runs.c.usage[name].as_integer()), 0).label(name) for name in COUNTED]
    return [*sums, func.sum(cost.cast(Numeric())).label("cost_usd"), unpriced.label("unpriced")]


def usage_in(row: RowMapping) -> dict[str, Any]:
    """Usage from a row of `used`; `cost_usd` is null as soon as one run that asked a model has no known cost."""
    return {**{name: row[name] for name in COUNTED}, "cost_usd": None if row["unpriced"] else row["cost_usd"]}


async def usage_by(
    connection: AsyncConnection, workspace_id: UUID, column: Column[Any], ids: list[UUID]
) -> dict[UUID, dict[str, Any]]:
    """Usage summed over the runs of each id in `column`; ids without runs are left out."""
    if not ids:
        return {}
    statement = (
        select(column.label("of"), *used()).where(runs.c.workspace_id == workspace_id, column.in_(ids)).group_by(column)
    )
    rows = (await connection.execute(statement)).mappings().all()
    return {row["of"]: usage_in(row) for row in rows}
