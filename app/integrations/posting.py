"""One POST to a receiver of notifications, and what its answer, or the lack of one, says about the delivery."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from app.integrations.http import OutboundBlocked, OutboundError, OutboundGuard, OutboundResponse
from app.models.delivery import Outcome
from app.models.errors import InvalidInput

MOST_WAIT = 86_400.0
MOST_ANSWER = 16_384
MOST_SNIPPET = 500
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


async def post(
    guard: OutboundGuard, url: str, *, content: bytes, headers: Mapping[str, str], seconds: float, repeatable: bool
) -> OutboundResponse | Outcome:
    """The answer, or what its absence comes to.

    `repeatable` says that the receiver knows a message again, so that one which may have arrived can be sent twice.
    """
    try:
        return await guard.request(
            "POST", url, content=content, headers=headers, seconds=seconds, max_bytes=MOST_ANSWER
        )
    except OutboundBlocked as error:
        # Host and port only: the rest of the address may be a secret.
        detail = f"{error.extra['value']} is not open to requests. To allow it, add it to {error.extra['setting']}."
        return Outcome("failed", reason="blocked_address", detail=detail)
    except InvalidInput as error:
        return Outcome("failed", reason="invalid_address", detail=error.detail)
    except OutboundError as error:
        detail = snippet(error.detail)
        if error.sent and not repeatable:
            return Outcome(
                "unknown", reason="no_answer", detail=f"It was sent, but whether it arrived is not known: {detail}"
            )
        return Outcome("retry", reason="unreachable", detail=detail)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a Retry-After header asks for, at most a day (RFC 9110 §10.2.3); None without a sound one."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return min(float(value), MOST_WAIT)
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), MOST_WAIT)


def snippet(text: str) -> str:
    """The start of a foreign text, in a form that can be stored and shown."""
    return _UNSTORABLE.sub("\ufffd", text[:MOST_SNIPPET])
