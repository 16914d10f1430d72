"""Secrets at rest: AES-256-GCM under a key ring, tied to the place where they are stored."""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_FORMAT = b"\x01"
_NONCE_BYTES = 12


class SealBroken(Exception):
    """What was stored cannot be opened: another place, a key that is gone from the ring, or damage."""


class Vault:
    """Seals with the first key of the ring and opens with any of them.

    `place` says where the secret is stored (table, column, workspace, row): what was sealed for one place opens at no
    other. A sealed secret is format byte, length and id of its key, nonce, ciphertext.
    """

    def __init__(self, ring: Sequence[tuple[str, bytes]]) -> None:
        self._ring = {key_id: AESGCM(_derived(key, b"sixlane vault")) for key_id, key in ring}
        self._first = ring[0][0]
        self._signing = ring[0][1]

    def seal(self, plain: bytes, *place: str) -> bytes:
        """The secret as it may be stored at that place."""
        nonce, head = os.urandom(_NONCE_BYTES), self.head
        return head + nonce + self._ring[self._first].encrypt(nonce, plain, _bound(head, place))

    def open(self, sealed: bytes, *place: str) -> bytes:
        """The secret that was sealed for that place. Raises SealBroken."""
        length = sealed[1] if len(sealed) > 1 and sealed[:1] == _FORMAT else 0
        head, rest = sealed[: 2 + length], sealed[2 + length :]
        cipher = self._ring.get(head[2:].decode("ascii", "replace"))
        if cipher is None or len(rest) <= _NONCE_BYTES:
            raise SealBroken("the key of this secret is not in the ring")
        try:
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _bound(head, place))
        except InvalidTag as error:
            raise SealBroken("the secret was sealed for another place, or is damaged") from error

    @property
    def head(self) -> bytes:
        """What begins everything that the first key of the ring has sealed, and nothing else."""
        key_id = self._first.encode()
        return _FORMAT + bytes([len(key_id)]) + key_id

    def reseal(self, sealed: bytes, *place: str) -> bytes:
        """The same secret for the same place, under the first key of the ring. Raises SealBroken."""
        return self.seal(self.open(sealed, *place), *place)

    def derived(self, *purpose: str) -> bytes:
        """32 bytes that stay the same for a purpose as long as the first key does: for signing what goes out."""
        return _derived(self._signing, b"sixlane signing", *(part.encode() for part in purpose))


def _bound(head: bytes, place: Sequence[str]) -> bytes:
    return head + b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in place)


def _derived(key: bytes, *purpose: bytes) -> bytes:
    info = b"".join(len(part).to_bytes(4, "big") + part for part in purpose)
    return HKDF(SHA256(), 32, salt=None, info=info).derive(key)
