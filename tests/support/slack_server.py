"""Slack on loopback: the Web API as far as the app uses it, strict about tokens and ids, and its Socket Mode.

It keeps the messages that stand in each channel, so that a test sees what a person would see. Faults are given by
method, each used once: `status` with `retry_after`, `error` (Slack's own slug), or `drop` (take it, then hang up).
"""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from support.loopback import in_thread
from support.request_log import read_body
from support.webhook_signing import slack as sign
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

TEAM, BOT, BOT_ID, APP = "T0TEAM001", "U0BOT0001", "B0BOT0001", "A0APP0001"
TOKEN, APP_TOKEN, SECRET = "xoxb-test-token", "xapp-1-A0APP0001-test", "slack-signing-secret"


@dataclass
class Call:
    """One call of the Web API."""

    method: str
    payload: dict[str, Any]
    at: float


@dataclass
class Posted:
    """A message that stands in a channel; `to` is who alone sees it."""

    channel: str
    ts: str
    payload: dict[str, Any]
    edits: int = 0
    to: str | None = None

    @property
    def text(self) -> str:
        """Everything that a person reads in it, without the buttons."""
        found: list[str] = []
        for block in self.payload.get("blocks", []):
            parts = [block.get("text"), *block.get("elements", [])]
            found += [part if isinstance(part, str) else _text(part) for part in parts if part]
        return "\n".join(one for one in found if one) or str(self.payload.get("text", ""))

    @property
    def buttons(self) -> dict[str, dict[str, Any]]:
        """The buttons by action."""
        return {
            element["action_id"]: element
            for block in self.payload.get("blocks", [])
            for element in block.get("elements", [])
            if element.get("type") == "button"
        }


def _text(part: dict[str, Any]) -> str:
    if part.get("type") == "button":
        return ""
    text = part.get("text", "")
    return text if isinstance(text, str) else str(text.get("text", ""))


@dataclass
class FakeSlack:
    """The server's state, shared with the test."""

    url: str = ""
    socket_url: str = ""
    calls: list[Call] = field(default_factory=list)
    messages: dict[tuple[str, str], Posted] = field(default_factory=dict)
    faults: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    views: list[dict[str, Any]] = field(default_factory=list)
    acks: dict[str, Any] = field(default_factory=dict)
    connected: int = 0
    _loop: asyncio.AbstractEventLoop | None = None
    _sockets: list[ServerConnection] = field(default_factory=list)
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, method: str, **how: Any) -> None:
        """Let the next call of the method fail so."""
        self.faults.setdefault(method, deque()).append(how)

    def said(self, channel: str | None = None) -> list[Posted]:
        """What stands in the channel now, the oldest first."""
        return [one for one in list(self.messages.values()) if channel is None or one.channel == channel]

    def made(self, method: str) -> list[Call]:
        """The calls of a method."""
        return [call for call in list(self.calls) if call.method == method]

    async def until(self, holds: Callable[[], Any], seconds: float = 15.0) -> Any:
        """What the condition gives as soon as it holds."""
        end = time.monotonic() + seconds
        while not (found := holds()):
            if time.monotonic() > end:
                shown = [(one.channel, one.to, one.text) for one in self.said()]
                raise TimeoutError(f"it did not come to that; Slack shows {shown}")
            await asyncio.sleep(0.02)
        return found

    async def text(self, words: str, channel: str | None = None, seconds: float = 15.0) -> Posted:
        """The message with these words, as soon as it stands there."""
        return await self.until(lambda: next((one for one in self.said(channel) if words in one.text), None), seconds)

    # The Web API

    def answer(self, method: str, payload: dict[str, Any], token: str) -> dict[str, Any]:
        """What a method does."""
        self.calls.append(Call(method, payload, time.monotonic()))
        if token != (APP_TOKEN if method == "apps.connections.open" else TOKEN):
            return {"ok": False, "error": "invalid_auth"}
        does = getattr(self, "_" + method.replace(".", "_"), None)
        return does(payload) if does else {"ok": False, "error": "unknown_method"}

    def _auth_test(self, _payload: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "team_id": TEAM, "user_id": BOT, "bot_id": BOT_ID}

    def _bots_info(self, payload: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "bot": {"id": payload["bot"], "app_id": APP, "user_id": BOT}}

    def _users_info(self, payload: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "user": {"id": payload["user"], "profile": self.profiles.get(payload["user"], {})}}

    def _chat_postMessage(self, payload: dict[str, Any], to: str | None = None) -> dict[str, Any]:
        channel = str(payload["channel"])
        channel = f"D{channel[1:]}" if channel.startswith("U") else channel
        if any(len(block.get("text", "")) > 12_000 for block in payload["blocks"] if block["type"] == "markdown"):
            return {"ok": False, "error": "msg_too_long"}
        with self._lock:
            self._count += 1
            ts = f"{int(time.time())}.{self._count:06d}"
            self.messages[channel, ts] = Posted(channel, ts, payload, to=to)
        return {"ok": True, "channel": channel, "ts": ts}

    def _chat_postEphemeral(self, payload: dict[str, Any]) -> dict[str, Any]:
        answer = self._chat_postMessage({"blocks": [], **payload}, to=payload["user"])
        return {"ok": True, "message_ts": answer["ts"]}

    def _chat_update(self, payload: dict[str, Any]) -> dict[str, Any]:
        found = self.messages.get((payload["channel"], payload["ts"]))
        if found is None or found.to is not None:
            return {"ok": False, "error": "message_not_found"}
        found.payload = {**found.payload, **payload}
        found.edits += 1
        return {"ok": True, "channel": found.channel, "ts": found.ts}

    def _chat_delete(self, payload: dict[str, Any]) -> dict[str, Any]:
        gone = self.messages.pop((payload["channel"], payload["ts"]), None)
        return {"ok": True} if gone else {"ok": False, "error": "message_not_found"}

    def _conversations_history(self, payload: dict[str, Any]) -> dict[str, Any]:
        shown = [one for one in self.said(payload["channel"]) if one.to is None]
        return {"ok": True, "messages": [{"ts": one.ts, **one.payload} for one in reversed(shown)]}

    _conversations_replies = _conversations_history

    def _views_open(self, payload: dict[str, Any]) -> dict[str, Any]:
        self.views.append(payload["view"])
        return {"ok": True, "view": payload["view"]}

    def _views_publish(self, payload: dict[str, Any]) -> dict[str, Any]:
        self.views.append(payload["view"])
        return {"ok": True}

    def _apps_connections_open(self, _payload: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "url": self.socket_url}

    # Socket Mode

    async def _greet(self, connection: ServerConnection) -> None:
        self.connected += 1
        self._sockets.append(connection)
        try:
            await connection.send(json.dumps({"type": "hello", "num_connections": 1}))
            async for raw in connection:
                message = json.loads(raw)
                self.acks[message["envelope_id"]] = message.get("payload")
        except ConnectionClosed:
            pass
        finally:
            self._sockets.remove(connection)

    def send_envelope(self, envelope_id: str, type_: str, payload: dict[str, Any]) -> None:
        """Send an envelope over a socket that is open."""
        body = {"envelope_id": envelope_id, "type": type_, "payload": payload, "accepts_response_payload": True}
        self._on_sockets(lambda socket: socket.send(json.dumps(body)))

    def move_sockets(self) -> None:
        """Tell the sockets to go, as Slack does now and then."""
        self._on_sockets(lambda socket: socket.send(json.dumps({"type": "disconnect", "reason": "refresh_requested"})))

    def cut_sockets(self) -> None:
        """Cut the sockets, without a word."""

        async def cut(socket: ServerConnection) -> None:
            socket.transport.abort()

        self._on_sockets(cut)

    def _on_sockets(self, do: Callable[[ServerConnection], Any]) -> None:
        """Do something with the newest one."""

        async def newest() -> None:
            await do(self._sockets[-1])

        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(newest(), self._loop).result(5)


class _App:
    """The ASGI application."""

    def __init__(self, slack: FakeSlack) -> None:
        self._slack = slack

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raw = await read_body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        form = "json" not in headers.get("content-type", "")
        payload = dict(parse_qsl(raw.decode())) if form else json.loads(raw)
        method = scope["path"].rpartition("/")[2]
        waiting = self._slack.faults.get(method)
        fault = waiting.popleft() if waiting else {}
        if "status" in fault:
            self._slack.calls.append(Call(f"{method}!{fault['status']}", payload, time.monotonic()))
            after = [(b"retry-after", str(fault["retry_after"]).encode())] if "retry_after" in fault else []
            await _send(send, fault["status"], {"ok": False, "error": "ratelimited"}, after)
            return
        if "error" in fault:
            await _send(send, 200, {"ok": False, "error": fault["error"]}, [])
            return
        if "hold" in fault:
            await asyncio.sleep(fault["hold"])
        answer = self._slack.answer(method, payload, headers.get("authorization", "").removeprefix("Bearer "))
        if "drop" in fault:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]})
            raise ConnectionResetError
        await _send(send, 200, answer, [])


async def _send(send: Any, status: int, body: Any, headers: list[tuple[bytes, bytes]]) -> None:
    raw = json.dumps(body).encode()
    kind = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": kind + headers})
    await send({"type": "http.response.body", "body": raw})


@contextmanager
def slack_server() -> Iterator[FakeSlack]:
    """Slack in threads of this process."""
    slack = FakeSlack()
    ready, stop = threading.Event(), asyncio.Event()

    async def sockets() -> None:
        slack._loop = asyncio.get_running_loop()
        async with serve(slack._greet, "127.0.0.1", 0) as server:
            slack.socket_url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/link"
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(sockets()), daemon=True)
    thread.start()
    ready.wait(5)
    try:
        with in_thread(_App(slack)) as url:
            slack.url = f"{url}/api/"
            yield slack
    finally:
        assert slack._loop is not None
        slack._loop.call_soon_threadsafe(stop.set)
        thread.join(5)


# What Slack sends

_numbers = iter(range(1, 10**9))


def stamp() -> str:
    """The ts of a message that is said now; each one is later than the one before."""
    return f"{time.time():.3f}{next(_numbers) % 1000:03d}"


def message(text: str, *, user: str = "U0ALICE01", channel: str = "D0ALICE01", **more: Any) -> dict[str, Any]:
    """An event: a message, in a direct message unless the channel is another."""
    kind = {"D": "im", "C": "channel", "G": "group"}[channel[0]]
    event = {"type": "message", "channel": channel, "channel_type": kind, "user": user, "text": text}
    return wrapped({**event, "ts": stamp(), "team": TEAM, **more})


def wrapped(event: dict[str, Any], event_id: str | None = None) -> dict[str, Any]:
    """An event in its envelope."""
    number = event_id or f"Ev{next(_numbers):08d}"
    return {"type": "event_callback", "team_id": TEAM, "api_app_id": APP, "event_id": number, "event": event}


def click(action: str, value: str, *, user: str = "U0ALICE01", channel: str = "D0ALICE01", ts: str = "") -> Any:
    """A click on a button."""
    return {
        "type": "block_actions",
        "team": {"id": TEAM},
        "api_app_id": APP,
        "user": {"id": user, "team_id": TEAM},
        "channel": {"id": channel},
        "message": {"ts": ts},
        "container": {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": False},
        "trigger_id": f"trigger{next(_numbers)}",
        "actions": [{"action_id": action, "value": value, "type": "button"}],
    }


def submission(view: dict[str, Any], values: dict[str, str | None], *, user: str = "U0ALICE01") -> dict[str, Any]:
    """A form that is sent in; what is not given stays as it was."""
    state: dict[str, Any] = {}
    for block in view["blocks"]:
        if block["type"] == "input":
            given = values.get(block["block_id"], block["element"].get("initial_value"))
            state[block["block_id"]] = {"value": {"type": "plain_text_input", "value": given}}
    return {
        "type": "view_submission",
        "team": {"id": TEAM},
        "api_app_id": APP,
        "user": {"id": user, "team_id": TEAM},
        "view": {**view, "id": "V1", "state": {"values": state}},
    }


def command(text: str, *, user: str = "U0ALICE01", channel: str = "C0GENERAL") -> dict[str, str]:
    """The slash command."""
    return {
        "team_id": TEAM,
        "api_app_id": APP,
        "user_id": user,
        "channel_id": channel,
        "command": "/sixlane",
        "text": text,
        "trigger_id": f"trigger{next(_numbers)}",
    }


def signed(body: bytes, *, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    """The headers of a request of Slack's."""
    return sign(body, secret=secret, at=int(time.time() if at is None else at))


def request_of(kind: str, payload: dict[str, Any]) -> tuple[str, bytes, str]:
    """Path, body and content type of a request of Slack's."""
    if kind == "events":
        return "/slack/events", json.dumps(payload).encode(), "application/json"
    form = payload if kind == "commands" else {"payload": json.dumps(payload)}
    return f"/slack/{kind}", urlencode(form).encode(), "application/x-www-form-urlencoded"
