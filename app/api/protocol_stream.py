"""Streams in the words of other protocols: a run's frames, turned into theirs, as one returned response."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Protocol

import pydantic_core
from fastapi.responses import StreamingResponse

from app.api.stream import BEAT, HEADERS, HEARTBEAT_SECONDS, MEDIA_TYPE
from app.models.frames import Frame

DONE = b"data: [DONE]\n\n"


class Writer(Protocol):
    """Turns the events of one run into another protocol's, always the same ones for the same events."""

    ended: bool

    def feed(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """What an event becomes."""
        ...


Closing = Callable[[], Awaitable[Iterable[dict[str, Any]]]]


def data_only(event: Mapping[str, Any]) -> bytes:
    """A frame without a name."""
    return b"data: %b\n\n" % pydantic_core.to_json(event)


def named(event: Mapping[str, Any]) -> bytes:
    """A frame that is named by the event's type."""
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), pydantic_core.to_json(event))


def protocol_stream(
    frames: AsyncGenerator[list[Frame]],
    writer: Writer,
    *,
    encode: Callable[[Mapping[str, Any]], bytes] = data_only,
    closing: Closing | None = None,
    last: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> StreamingResponse:
    """The answer that streams a run in the writer's words, up to where the writer ends.

    `closing` gives what else is said then, `last` stands at the very end. A client that leaves changes nothing.
    """
    body = _encode(frames, writer, encode, closing, last)
    return StreamingResponse(body, media_type=MEDIA_TYPE, headers={**HEADERS, **(headers or {})})


async def _encode(
    frames: AsyncGenerator[list[Frame]],
    writer: Writer,
    encode: Callable[[Mapping[str, Any]], bytes],
    closing: Closing | None,
    last: bytes,
) -> AsyncGenerator[bytes]:
    spoken = time.monotonic()
    async with aclosing(frames) as batches:
        async for batch in batches:
            said = b"".join([encode(one) for frame in batch for one in writer.feed(frame.event)])
            if said:
                yield said
            elif time.monotonic() - spoken < HEARTBEAT_SECONDS:
                continue
            else:
                yield BEAT
            spoken = time.monotonic()
            if writer.ended:
                break
    if not writer.ended:
        return  # this process stops: the stream breaks off, and the client may come back
    if closing is not None:
        yield b"".join([encode(one) for one in await closing()])
    yield last
