"""Posting to Slack: through an incoming webhook, or with the bot's token into a channel.

The requests are our own, not the SDK's: its client blocks a thread, cannot be stopped, and does not say whether a
request that failed had been sent. That decides here whether a message may be repeated.
"""

import json
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from pydantic_core import from_json

from app.integrations.http import OutboundGuard, OutboundResponse
from app.integrations.posting import post, retry_after, snippet
from app.models.delivery import Outcome
from app.models.notification import SLACK_HOSTS

_PASSING = frozenset({"ratelimited", "rate_limited", "internal_error", "service_unavailable", "request_timeout"})
_OPEN = frozenset({"fatal_error"})
"""Slack says of this one that some of the operation may have succeeded."""


@dataclass(frozen=True, slots=True)
class SlackOptions:
    """The operator's incoming webhook, the bot's token, and where Slack's API is."""

    webhook_url: str | None = None
    bot_token: str | None = None
    api_base_url: str = "https://slack.com/api/"


class SlackSender:
    """Posts a message once. What a task names goes through the guard; what the operator set is open."""

    def __init__(self, options: SlackOptions, guard: OutboundGuard, *, seconds: float) -> None:
        self._options = options
        self._guard = guard
        self._seconds = seconds
        own = [options.api_base_url, *([options.webhook_url] if options.webhook_url else [])]
        self._operators = OutboundGuard([_entry(url) for url in own])

    async def aclose(self) -> None:
        """Close all connections."""
        await self._operators.aclose()

    def ready(self, to: str) -> bool:
        """Whether there is a way to this target: a webhook's address, a channel, or empty for the operator's own."""
        if not to:
            return self._options.webhook_url is not None
        return "://" in to or self._options.bot_token is not None

    async def send(self, to: str, payload: dict[str, Any], key: str) -> Outcome:
        """Post the payload. `key` stands in the message's metadata, where Slack keeps it."""
        if not to or "://" in to:
            return await self._by_webhook(to, payload)
        url = f"{self._options.api_base_url.rstrip('/')}/chat.postMessage"
        metadata = {"event_type": "sixlane_delivery", "event_payload": {"id": key}}
        message = {**payload, "channel": to, "parse": "none", "link_names": False, "metadata": metadata}
        headers = {"Authorization": f"Bearer {self._options.bot_token}"}
        answer = await self._post(self._operators, url, message, headers)
        return answer if isinstance(answer, Outcome) else _of_api(answer)

    async def _by_webhook(self, to: str, payload: dict[str, Any]) -> Outcome:
        host = urlsplit(to).hostname or ""
        if to and host not in SLACK_HOSTS and not self._guard.listed(host):
            return Outcome("failed", reason="blocked_address", detail="This is no address of a Slack webhook.")
        guard, url = (self._guard, to) if to else (self._operators, self._options.webhook_url or "")
        answer = await self._post(guard, url, payload, {})
        return answer if isinstance(answer, Outcome) else _of_webhook(answer)

    async def _post(
        self, guard: OutboundGuard, url: str, payload: dict[str, Any], headers: dict[str, str]
    ) -> OutboundResponse | Outcome:
        content = json.dumps(payload, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", **headers}
        return await post(guard, url, content=content, headers=headers, seconds=self._seconds, repeatable=False)


def _entry(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _of_webhook(answer: OutboundResponse) -> Outcome:
    code, said = str(answer.status), snippet(answer.text)
    if 200 <= answer.status < 300:
        return Outcome("sent", code, snippet=said)
    if answer.status == 429 or answer.status >= 500:
        return _later(answer, code, said)
    return Outcome("failed", code, "refused", f"Slack refused the message: {said or code}", said)


def _of_api(answer: OutboundResponse) -> Outcome:
    code, said = str(answer.status), snippet(answer.text)
    if answer.status == 429 or answer.status >= 500:
        return _later(answer, code, said)
    try:
        document: Any = from_json(answer.content)
    except ValueError:
        document = None
    told = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    if answer.status == 200 and told.get("ok") is True:
        return Outcome("sent", code, snippet=said)
    error = str(told.get("error") or code)
    if error in _PASSING:
        return _later(answer, error, said)
    if error in _OPEN:
        return Outcome("unknown", error, "no_answer", "Slack cannot say whether the message was posted.", said)
    return Outcome("failed", error, "refused", f"Slack refused the message: {snippet(error)}", said)


def _later(answer: OutboundResponse, code: str, said: str) -> Outcome:
    wait = retry_after(answer.headers)
    reason = "rate_limited" if answer.status == 429 or "limited" in code else "server_error"
    return Outcome("retry", code, reason, f"Slack answered {code}.", said, wait)
