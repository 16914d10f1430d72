"""The outbound guard over TLS: the certificate must fit the name, whatever address was connected to."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from support.certificates import certificate
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
