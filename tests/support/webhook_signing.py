"""Signatures as each vendor's servers make them, written from their documentation and apart from ours."""

import base64
import hashlib
import hmac
from typing import Any

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def _hex(secret: str, message: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), message, algorithm).hexdigest()


def standard(body: bytes, *, secret: str = SECRET, at: int, event: str = "msg_1") -> dict[str, str]:
    """Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{event}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": event,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def github(body: bytes, *, secret: str = SECRET, at: int = 0, event: str = "72d3162e") -> dict[str, str]:
    """GitHub."""
    return {"X-GitHub-Delivery": event, "X-Hub-Signature-256": f"sha256={_hex(secret, body)}"}


def stripe(body: bytes, *, secret: str = SECRET, at: int, event: str = "") -> dict[str, str]:
    """Stripe: the event's id stands in the body."""
    return {"Stripe-Signature": f"t={at},v0=x,v1={'0' * 64},v1={_hex(secret, f'{at}.'.encode() + body)}"}


def slack(body: bytes, *, secret: str = SECRET, at: int, event: str = "") -> dict[str, str]:
    """Slack: the event's id stands in the body."""
    return {
        "X-Slack-Request-Timestamp": str(at),
        "X-Slack-Signature": f"v0={_hex(secret, f'v0:{at}:'.encode() + body)}",
    }


def generic(body: bytes, *, secret: str = SECRET, at: int = 0, event: str = "e1") -> dict[str, str]:
    """The HMAC of the body, as our own `hmac` scheme has it by default."""
    return {"X-Signature": _hex(secret, body), "Idempotency-Key": event}


def bearer(body: bytes, *, secret: str = SECRET, at: int = 0, event: str = "e1") -> dict[str, str]:
    """A token in the Authorization header."""
    return {"Authorization": f"Bearer {secret}", "Webhook-Id": event}


SIGNERS: dict[str, Any] = {
    "standard": standard,
    "github": github,
    "stripe": stripe,
    "slack": slack,
    "hmac": generic,
    "bearer": bearer,
}
STAMPED = {"standard", "stripe", "slack"}
"""Schemes that sign the time."""
