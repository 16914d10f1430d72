"""A client of a Sixlane server: requests answered in JSON, and runs followed over every cut of their streams."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Self, cast
from uuid import uuid4

import httpx

Event = dict[str, Any]
"""An event of a run as the server's catalogue describes it; `type` and `seq` are always there."""

ENDS = frozenset({"run.completed", "run.failed", "run.cancelled"})
"""The last event of a run is one of these."""

SILENCE_SECONDS = 30.0
"""A stream says something every 11 seconds at the latest; one that is silent for so long is dead."""

_PAUSE_SECONDS = 0.25
_MOST_PAUSE_SECONDS = 2.0


class ServerError(Exception):
    """The server cannot be spoken with, or what it says cannot be understood."""


class Refused(ServerError):
    """The server said no. `status`, `code` and `body` are those of its problem document."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = cast("dict[str, Any]", body) if isinstance(body, dict) else dict[str, Any]()
        self.code = str(self.body.get("code", ""))
        super().__init__(f"{self.body.get('detail') or body or 'no reason given'} ({status})")


class PlatformClient:
    """Speaks to one server, as the holder of `key` or as the person at this machine. Use it as a context manager.

    A stream that is cut is taken up where it stopped, for as long as `patience` seconds without any word.
    """

    def __init__(self, url: str, key: str | None = None, *, patience: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self._patience = patience
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=httpx.Timeout(30, read=330))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def call(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """Send a request, `bytes` as they are and everything else as JSON, and return the parsed answer.

        Raises Refused for an answer that is no success, ServerError when there is none.
        """
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})} if content is not None else dict(headers or {})
        try:
            answer = await self._http.request(method, path, content=content, headers=sent)
        except httpx.HTTPError as error:
            raise ServerError(_away(self.url, error)) from error
        return _parsed(answer.status_code, answer.content)

    async def send(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Event]:
        """Post a message with `stream`, and yield the events of its run to the last one.

        The request carries an idempotency key: when the connection breaks before the answer, it is safe to ask again.
        """
        headers = {"Accept": "text/event-stream", "Idempotency-Key": str(uuid4())}
        async with aclosing(self._resumed(None, 0, ("POST", path, {**body, "stream": True}, headers))) as events:
            async for event in events:
                yield event

    async def follow(self, run_id: str, after: int = 0) -> AsyncGenerator[Event]:
        """Yield the events of a run that come after the one numbered `after`, to the last one."""
        async with aclosing(self._resumed(run_id, after, None)) as events:
            async for event in events:
                yield event

    async def _resumed(
        self, run_id: str | None, after: int, begin: tuple[str, str, Any, dict[str, str]] | None
    ) -> AsyncGenerator[Event]:
        heard, pause = time.monotonic(), _PAUSE_SECONDS
        while True:
            try:
                asked = begin if run_id is None else None
                async with self._opened(asked or _reading(run_id, after)) as answer:
                    run_id = run_id or answer.headers.get("location", "").rpartition("/")[2] or None
                    async for event in _events(answer):
                        heard, pause = time.monotonic(), _PAUSE_SECONDS
                        if event["seq"] <= after:
                            continue
                        after = event["seq"]
                        yield event
                        if event["type"] in ENDS:
                            return
            except httpx.HTTPError as error:
                if time.monotonic() - heard > self._patience:
                    raise ServerError(_away(self.url, error)) from error
            except Refused as error:
                if error.status != 503 or time.monotonic() - heard > self._patience:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, _MOST_PAUSE_SECONDS)

    @asynccontextmanager
    async def _opened(self, asked: tuple[str, str, Any, dict[str, str]]) -> AsyncGenerator[httpx.Response]:
        method, path, body, headers = asked
        async with AsyncExitStack() as stack:
            answer = await stack.enter_async_context(
                self._http.stream(
                    method, path, json=body, headers=headers, timeout=httpx.Timeout(30, read=SILENCE_SECONDS)
                )
            )
            if not answer.is_success:
                _parsed(answer.status_code, await answer.aread())
            yield answer


def _reading(run_id: str | None, after: int) -> tuple[str, str, Any, dict[str, str]]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after else {})
    return "GET", f"/runs/{run_id}/events", None, headers


async def _events(answer: httpx.Response) -> AsyncIterator[Event]:
    """The events of a stream as they come. Only a line feed ends a line: texts may hold other separators."""
    waiting = b""
    async for piece in answer.aiter_bytes():
        *lines, waiting = (waiting + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield json.loads(line[5:])


def _parsed(status: int, content: bytes) -> Any:
    try:
        body: Any = json.loads(content) if content else None
    except ValueError:
        body = content.decode("utf-8", "replace")[:200]
    if not 200 <= status < 300:
        raise Refused(status, body)
    return body


def _away(url: str, error: httpx.HTTPError) -> str:
    why = "it did not answer in time" if isinstance(error, httpx.TimeoutException) else str(error) or "no connection"
    return f"The server at {url} cannot be reached: {why}."
