"""What a test server of OAuth is made of: keys and signed tokens, forms and cookies, small answers."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID


@cache
def signer(_name: str) -> tuple[rsa.RSAPrivateKey, str]:
    """A key, and the certificate that others check its signatures with; made once in a process."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "accounts.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return key, certificate.public_bytes(serialization.Encoding.PEM).decode()


def b64(raw: bytes) -> bytes:
    """Base64 for addresses, without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def pairs(text: str) -> dict[str, str]:
    """The fields of a query or a form."""
    return dict(parse_qsl(text, keep_blank_values=True))


def cookies(headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The cookies of a request."""
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        yield name, value


def signed_token(claims: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
    """A JSON web token, signed as key-1 with RS256; claims that are None are left out."""
    head = {"alg": "RS256", "kid": "key-1", "typ": "JWT"}
    whole = {name: value for name, value in claims.items() if value is not None}
    signed = b".".join(b64(json.dumps(part).encode()) for part in (head, whole))
    return b".".join((signed, b64(key.sign(signed, padding.PKCS1v15(), hashes.SHA256())))).decode()


async def plain(send: Any, status: int, headers: list[tuple[str, str]]) -> None:
    """An answer without a body."""
    raw = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": [*raw, (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def send_json(send: Any, status: int, value: Any, headers: list[tuple[str, str]] | None = None) -> None:
    """One JSON document."""
    content = json.dumps(value).encode()
    raw = [(name.encode(), text.encode()) for name, text in headers or []]
    base = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": base + raw})
    await send({"type": "http.response.body", "body": content})
