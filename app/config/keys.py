"""The key ring: reading SIXLANE_KEYS and ENCRYPTION_KEY into keys of 32 bytes."""

import base64
import binascii
import hashlib
import re
from typing import NamedTuple

from app.config.settings import SecretSettings

MINIMUM_BYTES = 32
_KEY_ID = re.compile(r"^[A-Za-z0-9_-]{1,16}$")
_FIRST_ID = "1"


class InvalidKey(ValueError):
    """A key is too short or misshapen; the message names the variable and never the key."""

    def __init__(self, setting: str, why: str) -> None:
        super().__init__(f"{setting}: {why}")
        self.setting = setting
        self.why = why


class SecretKey(NamedTuple):
    """One key of the ring: its id, as stored beside what it encrypted, and its 32 bytes."""

    id: str
    key: bytes


def parse_key(setting: str, text: str) -> bytes:
    """Return 32 bytes from base64 (as in a Fernet key), 64 hex digits, or a phrase of at least 32 bytes."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    try:
        plain = base64.b64decode(text.translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        plain = b""
    if len(plain) == MINIMUM_BYTES:
        return plain
    if len(text.encode()) < MINIMUM_BYTES:
        raise InvalidKey(setting, f"the key is shorter than {MINIMUM_BYTES} bytes")
    return hashlib.sha256(text.encode()).digest()


def parse_ring(secrets: SecretSettings) -> tuple[SecretKey, ...]:
    """Return the ring, newest key first: `SIXLANE_KEYS=k2:…,k1:…`, then ENCRYPTION_KEY as key 1. Raise InvalidKey."""
    ring: list[SecretKey] = []
    for part in (secrets.keys.get_secret_value() if secrets.keys else "").split(","):
        if not part.strip():
            continue
        key_id, colon, text = part.strip().partition(":")
        if not colon or not _KEY_ID.fullmatch(key_id):
            raise InvalidKey("SIXLANE_KEYS", "write it as id:key,id:key with ids of up to 16 letters and digits")
        ring.append(SecretKey(key_id, parse_key("SIXLANE_KEYS", text)))
    if secrets.encryption_key:
        ring.append(SecretKey(_FIRST_ID, parse_key("ENCRYPTION_KEY", secrets.encryption_key.get_secret_value())))
    ids = [key.id for key in ring]
    if len(ids) != len(set(ids)):
        raise InvalidKey("SIXLANE_KEYS", "two keys have the same id (ENCRYPTION_KEY has the id 1)")
    return tuple(ring)
