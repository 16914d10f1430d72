"""Adding up what runs used, in the database."""

from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Numeric, RowMapping, Select, and_, bindparam, func, literal, select
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


async def usage_below(
    connection: AsyncConnection, workspace_id: UUID, column: Column[Any], ids: list[UUID], *, with_own: bool = True
) -> dict[UUID, dict[str, Any]]:
    """Usage of the runs of each id in `column` together with all runs below them: those they began, and so on.

    Without the usage of the runs themselves where that is not wanted; ids with nothing to add up are left out.
    """
    return await _sums(connection, _below(column, with_own), workspace_id, ids)


async def usage_by(
    connection: AsyncConnection, workspace_id: UUID, column: Column[Any], ids: list[UUID]
) -> dict[UUID, dict[str, Any]]:
    """Usage summed over the runs of each id in `column`; ids without runs are left out."""
    return await _sums(connection, _by(column), workspace_id, ids)


async def _sums(
    connection: AsyncConnection, statement: Select[Any], workspace_id: UUID, ids: list[UUID]
) -> dict[UUID, dict[str, Any]]:
    if not ids:
        return {}
    rows = await connection.execute(statement, {"workspace": workspace_id, "ids": ids})
    return {row["of"]: usage_in(row) for row in rows.mappings()}


# Making one of these statements costs as much as carrying it out.


@cache
def _below(column: Column[Any], with_own: bool) -> Select[Any]:
    below = (
        select(column.label("of"), runs.c.id, literal(0).label("depth"))
        .where(_of_workspace(), column.in_(bindparam("ids", expanding=True)))
        .cte("below", recursive=True)
    )
    begun = and_(_of_workspace(), runs.c.parent_run_id == below.c.id, runs.c.trigger == "sub_run")
    below = below.union_all(select(below.c.of, runs.c.id, below.c.depth + 1).where(begun))
    return (
        select(below.c.of, *used())
        .join(runs, and_(_of_workspace(), runs.c.id == below.c.id))
        .where(below.c.depth >= (0 if with_own else 1))
        .group_by(below.c.of)
    )


@cache
def _by(column: Column[Any]) -> Select[Any]:
    wanted = column.in_(bindparam("ids", expanding=True))
    return select(column.label("of"), *used()).where(_of_workspace(), wanted).group_by(column)


def _of_workspace() -> ColumnElement[bool]:
    return runs.c.workspace_id == bindparam("workspace")
