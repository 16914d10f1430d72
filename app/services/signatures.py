"""Who sent a webhook: the signatures of each scheme, checked over the raw bytes. Nothing here raises on hostile input.

Sources: Standard Webhooks 1.0; GitHub "Validating webhook deliveries"; Stripe "Verify webhook signatures manually";
Slack "Verifying requests from Slack".
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.models.trigger import HmacConfig, Scheme, TriggerConfig

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
_MADE_BYTES = 24
_STANDARD_BYTES = range(24, 65)
_MOST_SIGNATURES = 10
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_PLAIN_HMAC = HmacConfig()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the signature holds. `signed_at` is the sender's time where the scheme signs one (Unix seconds)."""

    holds: bool
    signed_at: int | None = None


REFUSED = Verdict(False)


def new_secret() -> str:
    """A fresh secret in the form of Standard Webhooks; as text it serves every other scheme."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_MADE_BYTES)).decode()


def key_of(scheme: Scheme, secret: str) -> bytes:
    """The key that the scheme signs with. Raises ValueError for a secret that the scheme cannot use."""
    if scheme != "standard":
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _STANDARD_BYTES:
        raise ValueError("scheme standard needs whsec_ and the base64 of 24 to 64 bytes")
    return key


def verify(
    config: TriggerConfig, keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float
) -> Verdict:
    """Check the request against every key. `headers` have lower-case names, values as in latin-1.

    Without a key nothing holds. A time that is signed must lie within the tolerance of `now`, on either side.
    """
    for key in keys:
        if not key:
            continue
        found = _verified(config, key, headers, body)
        if found.holds and fresh(config, found, now):
            return found
    return REFUSED


def fresh(config: TriggerConfig, verdict: Verdict, now: float) -> bool:
    """Whether the signed time, if there is one, lies within the tolerance."""
    return verdict.signed_at is None or abs(now - verdict.signed_at) <= (config.tolerance_seconds or TOLERANCE_SECONDS)


def _verified(config: TriggerConfig, key: bytes, headers: Mapping[str, str], body: bytes) -> Verdict:
    if config.scheme == "standard":
        return _standard(key, headers, body)
    if config.scheme == "stripe":
        return _stripe(key, headers, body)
    if config.scheme == "slack":
        return _slack(key, headers, body)
    if config.scheme == "bearer":
        return Verdict(_bearer(key, headers))
    if config.scheme == "github":
        expected = b"sha256=" + _mac(key, body).hex().encode()
        return Verdict(_same(expected, headers.get("x-hub-signature-256", "")))
    return Verdict(config.scheme == "hmac" and _generic(config.hmac or _PLAIN_HMAC, key, headers, body))


def _standard(key: bytes, headers: Mapping[str, str], body: bytes) -> Verdict:
    """Standard Webhooks; the same headers are known as `svix-*` from its forerunner."""
    start = "webhook-" if "webhook-signature" in headers else "svix-"
    sender, stamp = headers.get(f"{start}id", ""), headers.get(f"{start}timestamp", "")
    if not sender or not _TIMESTAMP.fullmatch(stamp):
        return REFUSED
    expected = base64.b64encode(_mac(key, _bytes(sender) + b"." + stamp.encode() + b"." + body))
    given = headers.get(f"{start}signature", "").split(" ")[:_MOST_SIGNATURES]
    holds = any(_same(b"v1," + expected, one) for one in given)
    return Verdict(holds, int(stamp))


def _stripe(key: bytes, headers: Mapping[str, str], body: bytes) -> Verdict:
    parts = [part.strip().partition("=") for part in headers.get("stripe-signature", "").split(",")[:20]]
    stamps = [value for name, _, value in parts if name == "t"]
    if len(stamps) != 1 or not _TIMESTAMP.fullmatch(stamps[0]):
        return REFUSED
    expected = _mac(key, stamps[0].encode() + b"." + body).hex().encode()
    given = [value for name, _, value in parts if name == "v1"][:_MOST_SIGNATURES]
    return Verdict(any(_same(expected, one) for one in given), int(stamps[0]))


def _slack(key: bytes, headers: Mapping[str, str], body: bytes) -> Verdict:
    stamp = headers.get("x-slack-request-timestamp", "")
    if not _TIMESTAMP.fullmatch(stamp):
        return REFUSED
    expected = b"v0=" + _mac(key, b"v0:" + stamp.encode() + b":" + body).hex().encode()
    return Verdict(_same(expected, headers.get("x-slack-signature", "")), int(stamp))


def _generic(how: HmacConfig, key: bytes, headers: Mapping[str, str], body: bytes) -> bool:
    given = headers.get(how.header.lower(), "")
    if not given.startswith(how.prefix):
        return False
    given = given[len(how.prefix) :]
    digest = hmac.digest(key, body, how.algorithm)
    if how.encoding == "hex":
        return _same(digest.hex().encode(), given.lower())
    return _same(base64.b64encode(digest), given)


def _bearer(key: bytes, headers: Mapping[str, str]) -> bool:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    # Hashes, so that not even the length of the secret can be learned from the time that this takes.
    given = hashlib.sha256(_bytes(token.strip())).digest()
    return scheme.lower() == "bearer" and hmac.compare_digest(given, hashlib.sha256(key).digest())


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _same(expected: bytes, given: str) -> bool:
    return hmac.compare_digest(expected, _bytes(given))


def _bytes(value: str) -> bytes:
    """A header's value as the bytes that came."""
    return value.encode("latin-1", "replace")
