"""Server-sent events: the frames of a run as one returned response, so that errors before it are ordinary answers."""

import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import Field

from app.models.errors import InvalidInput
from app.models.events import TERMINAL_EVENTS, Event
from app.models.frames import Frame
from app.models.wire import Outbound

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 8.0
"""Silence after which a comment is sent; with the follower's own tick, one comes at least every 11 seconds."""

RETRY = b"retry: 1000\n\n"
BEAT = b": alive\n\n"
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
MAX_SEQ = 2**31 - 1


class EventPage(Outbound):
    """Up to `limit` stored events. Pass `next_cursor` as `starting_after` to go on."""

    data: list[Event]
    has_more: bool
    next_cursor: str | None = Field(examples=[None])


STREAM_RESPONSE: dict[str, Any] = {
    "description": "The run's events, ending with a terminal one. Each frame: `id` (the event's `seq`), `event` "
    "(its `type`) and `data` (the event). Reconnect with `Last-Event-ID`. Ignore types that you do not know.",
    "content": {
        MEDIA_TYPE: {
            "schema": {"type": "string"},
            "example": 'id: 1\nevent: message.delta\ndata: {"type": "message.delta", "seq": 1, "text": "Paris"}\n\n',
        }
    },
}
"""What a route that streams declares for its 200, beside its JSON answer."""


async def starting_after(
    starting_after: Annotated[
        int | None, Query(ge=0, le=MAX_SEQ, description="Only events with a higher `seq`.", examples=[0])
    ] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=20, description="The same, as browsers send it when they reconnect.")
    ] = None,
) -> int:
    """The number of the last event that the client has; 0 for none. The query parameter wins.

    Raises InvalidInput for a header that is no event's number.
    """
    if starting_after is not None:
        return starting_after
    if not last_event_id:
        return 0
    if not re.fullmatch(r"[0-9]{1,10}", last_event_id) or int(last_event_id) > MAX_SEQ:
        raise InvalidInput("Last-Event-ID must be the id of an event of this run.", code="invalid_last_event_id")
    return int(last_event_id)


StartingAfter = Annotated[int, Depends(starting_after)]


def wants_stream(request: Request) -> bool:
    """Whether the client asks for server-sent events by its Accept header."""
    return MEDIA_TYPE in request.headers.get("accept", "").lower()


def event_stream(frames: AsyncGenerator[list[Frame]], headers: dict[str, str] | None = None) -> StreamingResponse:
    """The answer that streams what `services.events.follow` yields. A client that leaves changes nothing."""
    return StreamingResponse(_encode(frames), media_type=MEDIA_TYPE, headers={**HEADERS, **(headers or {})})


def event_page(frames: Sequence[Frame], *, has_more: bool) -> Response:
    """An `EventPage`, from events that are encoded already."""
    cursor = b'"%d"' % frames[-1].seq if has_more else b"null"
    data = b",".join(frame.data for frame in frames)
    more = b"true" if has_more else b"false"
    body = b'{"data":[%b],"has_more":%b,"next_cursor":%b}' % (data, more, cursor)
    return Response(body, media_type="application/json")


async def _encode(frames: AsyncGenerator[list[Frame]]) -> AsyncGenerator[bytes]:
    yield RETRY
    spoken = time.monotonic()
    last: Frame | None = None
    async with aclosing(frames) as batches:
        async for batch in batches:
            if batch:
                last = batch[-1]
                yield b"".join([b"id: %d\nevent: %b\ndata: %b\n\n" % (f.seq, f.type.encode(), f.data) for f in batch])
            elif time.monotonic() - spoken < HEARTBEAT_SECONDS:
                continue
            else:
                yield BEAT
            spoken = time.monotonic()
    if last is None or last.type not in TERMINAL_EVENTS:
        # This process stops: the client shall come back, to another one.
        yield RETRY
