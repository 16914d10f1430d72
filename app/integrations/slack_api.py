"""Slack's Web API: one call each, never tried again here, and what its answer, or the lack of one, says.

The requests are our own for the reasons given in `integrations/slack.py`. Source: docs.slack.dev, "Web API".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from pydantic_core import from_json

from app.integrations.http import OutboundBlocked, OutboundError, OutboundGuard, OutboundResponse
from app.integrations.posting import retry_after
from app.models.errors import InvalidInput

MOST_ANSWER = 262_144
_FORMS = frozenset({"auth.test", "users.info", "bots.info", "conversations.history", "conversations.replies"})
"""Methods that read their arguments from a form only."""
_PASSING = frozenset({"ratelimited", "rate_limited", "internal_error", "service_unavailable", "request_timeout"})
_OPEN = frozenset({"fatal_error"})


@dataclass(frozen=True, slots=True)
class SlackAnswer:
    """What came of a call. `error` is Slack's own slug; `wait` (seconds) says that it may work later.

    `unsure`: the call may have had its effect, although there is no good answer.
    """

    ok: bool
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""
    wait: float | None = None
    unsure: bool = False


class SlackApi:
    """Calls methods with the bot's token. Only the operator's own address of the API is open to it."""

    def __init__(self, base_url: str, bot_token: str | None, *, seconds: float = 10.0) -> None:
        self._base = base_url.rstrip("/")
        self._token = bot_token
        self._seconds = seconds
        parts = urlsplit(base_url)
        self._guard = OutboundGuard([f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"])

    @property
    def ready(self) -> bool:
        """Whether there is a token to call with."""
        return self._token is not None

    @property
    def plain(self) -> bool:
        """Whether the API is reached without TLS, as a stand-in on this machine may be."""
        return urlsplit(self._base).scheme == "http"

    async def aclose(self) -> None:
        """Close all connections."""
        await self._guard.aclose()

    async def call(
        self, method: str, payload: Mapping[str, Any], *, token: str | None = None, seconds: float | None = None
    ) -> SlackAnswer:
        """Call a method once. Never raises for what Slack does."""
        key = token or self._token
        if key is None:
            return SlackAnswer(False, error="not_configured")
        content, kind = _body(method, payload)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": f"{kind}; charset=utf-8"}
        try:
            answer = await self._guard.request(
                "POST",
                f"{self._base}/{method}",
                content=content,
                headers=headers,
                seconds=seconds or self._seconds,
                max_bytes=MOST_ANSWER,
            )
        except OutboundError as error:
            return SlackAnswer(False, error="unreachable", wait=1.0, unsure=error.sent)
        except (OutboundBlocked, InvalidInput) as error:
            return SlackAnswer(False, error=error.code)
        return _read(answer)


def _body(method: str, payload: Mapping[str, Any]) -> tuple[bytes, str]:
    if method in _FORMS:
        return urlencode(payload).encode(), "application/x-www-form-urlencoded"
    return json.dumps(payload, ensure_ascii=False).encode(), "application/json"


def _read(answer: OutboundResponse) -> SlackAnswer:
    wait = retry_after(answer.headers)
    if answer.status == 429:
        return SlackAnswer(False, error="ratelimited", wait=wait or 1.0)
    if answer.status >= 500:
        return SlackAnswer(False, error=f"http_{answer.status}", wait=wait or 1.0, unsure=True)
    try:
        document: Any = from_json(answer.content)
    except ValueError:
        document = None
    data = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    if answer.status == 200 and data.get("ok") is True:
        return SlackAnswer(True, data)
    error = str(data.get("error") or f"http_{answer.status}")[:100]
    if error in _PASSING:
        return SlackAnswer(False, data, error, wait=wait or 1.0)
    return SlackAnswer(False, data, error, wait=1.0 if error in _OPEN else None, unsure=error in _OPEN)
