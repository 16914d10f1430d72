"""The outbound guard over TLS: the certificate must fit the name, whatever address was connected to."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.loopback import bind
from support.request_log import read_body, send_json

from app.integrations.http import OutboundError, OutboundGuard


class Site:
    """Notes the Host header of every request."""

    def __init__(self) -> None:
        self.hosts: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        self.hosts.append(dict(scope["headers"])[b"host"].decode())
        await send_json(send, 200, {})


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


async def test_tls_is_verified_for_the_name_and_not_the_address(tmp_path: Path) -> None:
    cert_file, key_file = certificate(tmp_path, "secure.example")
    site = Site()
    config = uvicorn.Config(
        site, lifespan="off", ws="none", log_config=None, ssl_certfile=cert_file, ssl_keyfile=key_file
    )
    sock = bind()
    port = sock.getsockname()[1]
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([sock]))

    async def resolver(host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    trust = ssl.create_default_context(cafile=str(cert_file))
    allowed = [f"secure.example:{port}", f"other.example:{port}"]
    try:
        async with OutboundGuard(allowed, resolver=resolver, ssl_context=trust) as guard:
            assert (await guard.request("GET", f"https://secure.example:{port}/")).status == 200
            assert site.hosts == [f"secure.example:{port}"]
            with pytest.raises(OutboundError, match=r"(?i)certificate") as wrong:
                await guard.request("GET", f"https://other.example:{port}/")
            assert not wrong.value.sent
    finally:
        server.should_exit = True
        await serving
