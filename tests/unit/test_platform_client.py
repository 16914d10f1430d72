"""The client of a Sixlane server: streams that are cut are taken up where they stopped, and refusals are told."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.loopback import in_thread
from support.request_log import read_body

from app.integrations.platform_client import PlatformClient, Refused, ServerError

TYPES = ("run.started", "message.delta", "message.delta", "run.completed")
EVENTS = [{"seq": n, "type": kind, "run_id": "r1", "text": f"{n}\u2028\u0085{n}"} for n, kind in enumerate(TYPES, 1)]


class Server:
    """Answers as scripted: each request takes the next of `answers`, a status or how many events it streams."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raw = await read_body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["method"], scope["path"], headers, json.loads(raw) if raw else None))
        answer = self.answers.pop(0)
        if answer >= 400:
            problem = {"code": "why_not", "detail": "It is closed."}
            await self._send(send, answer, json.dumps(problem).encode())
            return
        after = int(headers.get("last-event-id", "0"))
        frames = [f"id: {e['seq']}\ndata: {json.dumps(e, ensure_ascii=False)}\n\n" for e in EVENTS[after:]]
        body = "retry: 1000\n\n: alive\n\n" + "".join(frames[:answer])
        whole = len(frames) <= answer
        await self._send(send, 200, body.encode(), more=0 if whole else 9)

    async def _send(self, send: Any, status: int, body: bytes, *, more: int = 0) -> None:
        length = str(len(body) + more).encode()  # more than is sent: the connection breaks off
        headers = [(b"content-length", length), (b"location", b"/runs/r1")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": bool(more)})
        if more:
            raise ConnectionResetError


@pytest.fixture
def server() -> Iterator[tuple[Server, str]]:
    app = Server()
    with in_thread(app) as url:
        yield app, url


async def test_a_cut_stream_goes_on_where_it_stopped(server: tuple[Server, str]) -> None:
    app, url = server
    app.answers = [2, 503, 1, 9]
    async with PlatformClient(url, "key-1") as client:
        seen = [event async for event in client.send("/conversations/c1/messages", {"message": "Hello"})]
    assert seen == EVENTS
    assert [asked[:2] for asked in app.asked] == [
        ("POST", "/conversations/c1/messages"),
        *[("GET", "/runs/r1/events")] * 3,
    ]
    first = app.asked[0]
    assert first[2]["authorization"] == "Bearer key-1"
    assert first[2]["idempotency-key"]
    assert first[3] == {"message": "Hello", "stream": True}
    assert [asked[2].get("last-event-id") for asked in app.asked[1:]] == ["2", "2", "3"]


async def test_a_message_is_sent_again_only_under_the_same_key(server: tuple[Server, str]) -> None:
    app, url = server
    app.answers = [503, 9]
    async with PlatformClient(url) as client:
        assert [event async for event in client.send("/conversations/c1/messages", {"message": "Hi"})] == EVENTS
    keys = {asked[2]["idempotency-key"] for asked in app.asked}
    assert [asked[0] for asked in app.asked] == ["POST", "POST"]
    assert len(keys) == 1


async def test_a_refusal_is_told_at_once(server: tuple[Server, str]) -> None:
    app, url = server
    app.answers = [409, 404]
    async with PlatformClient(url) as client:
        with pytest.raises(Refused, match=r"It is closed. \(409\)") as refused:
            _ = [event async for event in client.send("/conversations/c1/messages", {"message": "Hi"})]
        assert refused.value.code == "why_not"
        with pytest.raises(Refused):
            await client.call("GET", "/runs/r2")


async def test_a_server_that_is_away_is_given_up_in_time() -> None:
    async with PlatformClient("http://127.0.0.1:9", patience=0.3) as client:
        with pytest.raises(ServerError, match="cannot be reached"):
            _ = [event async for event in client.follow("r1")]
