"""Signatures of outgoing webhooks by the Standard Webhooks specification."""

import base64
from datetime import UTC, datetime

from standardwebhooks import Webhook


def secret_text(secret: bytes) -> str:
    """A secret in the form that receivers configure: `whsec_` and base64."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def signed_headers(secret: bytes, message_id: str, body: str) -> dict[str, str]:
    """The three headers of a message that is sent now; its id stays the same however often it is sent."""
    now = datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(msg_id=message_id, timestamp=now, data=body),
    }


def secret_bytes(text: str) -> bytes:
    """The secret that `secret_text` wrote."""
    return base64.b64decode(text.removeprefix("whsec_"))
