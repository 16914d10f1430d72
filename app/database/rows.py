"""Between a table's columns and the frozen dataclass that leaves the room."""

import dataclasses
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, FromClause

T = TypeVar("T")


def columns_of(table: FromClause, shape: type[T]) -> list[ColumnElement[Any]]:
    """The table's columns in the order of the dataclass' fields, so that `shape(*row)` reads a row."""
    return [table.c[field.name] for field in dataclasses.fields(shape)]  # type: ignore[arg-type]
