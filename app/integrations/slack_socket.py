"""Socket Mode: Slack's events over a connection that we open, so that no public address is needed.

Source: docs.slack.dev, "Using Socket Mode" and `apps.connections.open`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
from pydantic_core import from_json
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from app.integrations.slack_api import SlackApi

log = structlog.get_logger(__name__)

Taker = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any] | None]]
"""Takes an envelope in by its type; returns what Slack is answered. What raises is not acknowledged."""

Spawn = Callable[[Coroutine[Any, Any, None], str], object]

ENVELOPES = frozenset({"events_api", "slash_commands", "interactive"})
MOST_BYTES = 2_097_152
PING_SECONDS = 10.0
FIRST_WAIT = 0.5
MOST_WAIT = 30.0


class SlackSocket:
    """Keeps one connection open and hands each envelope on; it is acknowledged once it is taken in.

    Any number of processes may have one: Slack gives an envelope to one of them, and again when nobody acknowledges.
    """

    def __init__(self, api: SlackApi, app_token: str, take: Taker, spawn: Spawn) -> None:
        self._api = api
        self._token = app_token
        self._take = take
        self._spawn = spawn
        self._open = True
        self._connection: ClientConnection | None = None

    def close(self) -> None:
        """Open no connection any more; the one that is open is left."""
        self._open = False
        if self._connection is not None:
            self._spawn(self._connection.close(), "slack socket closing")

    async def run(self) -> None:
        """Stay connected until closed. What breaks is opened again, at first soon and then less often."""
        wait = FIRST_WAIT
        while self._open:
            try:
                if await self._serve():
                    wait = FIRST_WAIT
                    continue
            except (OSError, WebSocketException, TimeoutError) as error:
                log.warning("slack.socket_broke", error=type(error).__name__)
            except Exception:
                log.exception("slack.socket_failed")
            if self._open:
                await asyncio.sleep(wait)
                wait = min(wait * 2, MOST_WAIT)

    async def _serve(self) -> bool:
        """Open a connection and serve it to its end; whether it had been good."""
        url = await self._address()
        if url is None:
            return False
        greeted = False
        async with connect(url, max_size=MOST_BYTES, ping_interval=PING_SECONDS, ping_timeout=PING_SECONDS) as opened:
            self._connection = opened
            try:
                async for raw in opened:
                    message = _message(raw)
                    if message.get("type") == "hello":
                        greeted = True
                        log.info("slack.socket_open")
                    elif message.get("type") == "disconnect":
                        return True  # Slack moves its connections about; it says so before
                    elif message.get("type") in ENVELOPES and message.get("envelope_id"):
                        self._spawn(self._handle(opened, message), "slack envelope")
            finally:
                self._connection = None
        return greeted

    async def _address(self) -> str | None:
        answer = await self._api.call("apps.connections.open", {}, token=self._token)
        url = str(answer.data.get("url", ""))
        if answer.ok and (urlsplit(url).scheme == "wss" or (self._api.plain and urlsplit(url).scheme == "ws")):
            return url
        log.warning("slack.no_socket", error=answer.error or "no address")
        if answer.wait is not None:
            await asyncio.sleep(min(answer.wait, MOST_WAIT))
        return None

    async def _handle(self, opened: ClientConnection, message: Mapping[str, Any]) -> None:
        payload: Any = message.get("payload")
        given = cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}
        try:
            answer = await self._take(str(message["type"]), given)
        except Exception as error:
            log.warning("slack.envelope_not_taken", error=f"{type(error).__name__}: {error}"[:300])
            return  # Slack gives it again
        reply: dict[str, Any] = {"envelope_id": message["envelope_id"]}
        if answer is not None:
            reply["payload"] = answer
        try:
            await opened.send(json.dumps(reply))
        except WebSocketException as error:
            log.info("slack.envelope_not_acknowledged", error=type(error).__name__)


def _message(raw: str | bytes) -> dict[str, Any]:
    try:
        found: Any = from_json(raw)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
