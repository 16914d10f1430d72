"""Pages of a list: a limit, and a cursor that only the workspace it was made for can use."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated, Protocol, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.models.errors import InvalidInput
from app.models.page import Page

_MARK = 8


class PageQuery(BaseModel):
    """`limit` items at most, those after the cursor `after`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=50, ge=1, le=200, description="Items on a page, at most 200.")
    after: str | None = Field(
        default=None, min_length=1, max_length=100, description="`next_cursor` of the page before.", examples=[None]
    )


class Row(Protocol):
    """Anything with an id that orders by time."""

    @property
    def id(self) -> UUID:
        """The row's id."""
        ...


R = TypeVar("R", bound=Row)
O = TypeVar("O", bound=BaseModel)  # noqa: E741 - the shape that goes out


def _mark(workspace_id: UUID, row_id: UUID) -> bytes:
    return hashlib.blake2b(row_id.bytes, key=workspace_id.bytes, digest_size=_MARK).digest()


def cursor(workspace_id: UUID, row_id: UUID) -> str:
    """The cursor that stands for the place after a row."""
    return base64.urlsafe_b64encode(row_id.bytes + _mark(workspace_id, row_id)).decode()


def place(workspace_id: UUID, after: str | None) -> UUID | None:
    """The row that a cursor stands for. Raises InvalidInput for one that this workspace was not given."""
    if after is None:
        return None
    try:
        raw = base64.b64decode(after, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) == 16 + _MARK:
        row_id = UUID(bytes=raw[:16])
        if hmac.compare_digest(raw[16:], _mark(workspace_id, row_id)):
            return row_id
    raise InvalidInput("query.after: this is no cursor of this list.", code="invalid_cursor")


async def page_of(
    workspace_id: UUID,
    query: PageQuery,
    read: Callable[[int, UUID | None], Awaitable[list[R]]],
    show: Callable[[list[R]], Awaitable[list[O]]],
) -> Page[O]:
    """One page: `read` gives rows (limit, after), `show` their shapes. One row more than asked tells of more."""
    rows = await read(query.limit + 1, place(workspace_id, query.after))
    shown, more = rows[: query.limit], len(rows) > query.limit
    last = cursor(workspace_id, shown[-1].id) if more else None
    return Page[O](data=await show(shown), has_more=more, next_cursor=last)


Paging = Annotated[PageQuery, Query()]
