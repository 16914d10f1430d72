"""Outgoing webhooks: JSON, signed by the Standard Webhooks scheme, with an id that stays the same over retries."""

import json
from typing import ClassVar

from app.channels.channel import Means
from app.integrations.posting import post, retry_after, snippet
from app.integrations.standard_webhooks import signed_headers
from app.models.delivery import Message, Outcome, Rendered


class WebhookChannel:
    """Posts to public https addresses, and to those that the operator opened."""

    name: ClassVar[str] = "webhook"

    def __init__(self, means: Means) -> None:
        self._guard = means.guard
        self._secret = means.signing_secret
        self._seconds = means.seconds

    def ready(self, to: str) -> bool:
        """Always: it needs nothing of the operator."""
        return True

    @staticmethod
    def render(message: Message) -> Rendered:
        """The JSON that is posted."""
        at = message.at.isoformat().replace("+00:00", "Z")
        return Rendered(body={"type": message.type, "timestamp": at, "data": dict(message.data)})

    async def send(self, to: str, message: Message, rendered: Rendered) -> Outcome:
        """Post it once. Only 2xx counts; 410 says that nobody listens there any more, and redirects are not followed.

        An answer that never came is tried again: the receiver knows the message by its `webhook-id`.
        """
        body = json.dumps(rendered.body, ensure_ascii=False, separators=(",", ":"))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Sixlane-Webhooks/1",
            **signed_headers(self._secret(message.workspace_id), message.key, body),
        }
        answer = await post(
            self._guard, to, content=body.encode(), headers=headers, seconds=self._seconds, repeatable=True
        )
        if isinstance(answer, Outcome):
            return answer
        code, said = str(answer.status), snippet(answer.text)
        if 200 <= answer.status < 300:
            return Outcome("sent", code, snippet=said)
        if answer.status == 410:
            return Outcome("failed", code, "gone", "The receiver says that nobody listens at this address.", said)
        reason = "redirected" if 300 <= answer.status < 400 else "rate_limited" if code == "429" else "refused"
        return Outcome("retry", code, reason, f"The receiver answered {code}.", said, retry_after(answer.headers))
