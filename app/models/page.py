"""One page of a list, walked with a cursor."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """Up to `limit` items. Pass `next_cursor` as `after` to go on; it is null on the last page."""

    model_config = ConfigDict(frozen=True)

    data: list[T]
    has_more: bool
    next_cursor: str | None = Field(examples=[None])
