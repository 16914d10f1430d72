"""The outbound guard: what it refuses, what it pins, and how a request that fails tells whether it was sent."""

import asyncio
import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic_ai import _ssrf
from support.loopback import bind, in_thread
from support.request_log import read_body

from app.integrations.http import OutboundBlocked, OutboundError, OutboundGuard
from app.models.errors import InvalidInput

BLOCKED = [
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://0/",
    "https://10.0.0.8/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://168.63.129.16/",
    "https://192.0.0.8/",
    "https://198.51.100.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::1]/",
    "https://[2001:db8::1]/",
    "https://[2606:4700::5efe:7f00:1]/",
    "https://[fe80::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://db.internal/",
    "https://printer.local/",
    "http://example.com/",
    "https://example.com:8443/",
    "https://127。0。0。1/",
    "https://%31%32%37.0.0.1/",
]
NOT_ADDRESSES = [
    "",
    "example.com",
    "ftp://example.com/",
    "file:///etc/passwd",
    "https://",
    "https://user:secret@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https://exa mple.com/",
    "https://example.com/\r\nX: y",
    "https://①②⑦.⓪.⓪.①/",
    "https://[fe80::1%25eth0]/",
    "https://[::1/",
    "https://example.com:99999/",
    "https://" + "a" * 3000 + ".com/",
]


@pytest.mark.parametrize("url", BLOCKED)
def test_refuses_what_is_not_public_https(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        OutboundGuard().check_url(url)
    if isinstance(refused.value, OutboundBlocked):
        assert refused.value.extra["setting"] == "OUTBOUND_ALLOW_HOSTS"
        assert refused.value.extra["value"] in refused.value.detail


@pytest.mark.parametrize("url", NOT_ADDRESSES)
def test_refuses_what_is_no_address(url: str) -> None:
    with pytest.raises(InvalidInput):
        OutboundGuard().check_url(url)


@pytest.mark.parametrize("url", ["https://example.com/a?b=c#d", "https://93.184.216.34/", "https://[2606:4700::1]/"])
def test_lets_public_addresses_pass(url: str) -> None:
    OutboundGuard().check_url(url)


def test_a_listed_host_and_port_opens_exactly_that() -> None:
    guard = OutboundGuard(["localhost:9000", "[::1]:9001", " 10.0.0.8:80 "])
    for url in ("http://localhost:9000/x", "https://localhost:9000/", "http://[::1]:9001/", "http://10.0.0.8/"):
        guard.check_url(url)
    for url in ("http://localhost:9001/", "http://127.0.0.1:9000/", "https://10.0.0.8/"):
        with pytest.raises(OutboundBlocked):
            guard.check_url(url)
    assert guard.listed("::1")
    assert not guard.listed("example.com")


INSIDE = [
    "0.0.0.1",
    "10.1.2.3",
    "100.100.100.200",
    "127.9.9.9",
    "169.254.170.2",
    "172.31.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.19.0.1",
    "203.0.113.9",
    "239.1.1.1",
    "240.0.0.1",
    "::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "2001:2::1",
    "100::1",
    "fc00::1",
    "fec0::1",
    "3fff::1",
    "5f00::1",
    "64:ff9b:1::1",
    "2001::1",
    "::a00:1",
    "2606:4700:0:0:0:5efe:a00:1",
]


@pytest.mark.parametrize("address", INSIDE)
def test_no_looser_than_the_library_guard(address: str) -> None:
    assert _ssrf.is_private_ip(address) or _ssrf.is_cloud_metadata_ip(address)
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(OutboundBlocked):
        OutboundGuard().check_url(f"https://{host}/")


class Site:
    """A web server with a page for each behaviour."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.hits = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.hits += 1
        headers = dict(scope["headers"])
        self.hosts.append(headers[b"host"].decode())
        body = await read_body(receive)
        path = scope["path"]
        if path == "/slow":
            await asyncio.sleep(30)
        extra: list[tuple[bytes, bytes]] = []
        content = b"body: " + body
        if path.startswith("/to/"):
            extra = [(b"location", scope["query_string"])]
        if path in ("/gzip", "/bomb"):
            content = gzip.compress(b"0" * (10_000_000 if path == "/bomb" else 100))
            extra = [(b"content-encoding", b"gzip")]
        if path == "/big":
            content = b"x" * 5000
        status = 302 if path.startswith("/to/") else 200
        await send({"type": "http.response.start", "status": status, "headers": extra})
        if path == "/cut":
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            raise ConnectionResetError
        await send({"type": "http.response.body", "body": content})


@pytest.fixture
def site() -> Iterator[tuple[Site, str]]:
    app = Site()
    with in_thread(app) as url:
        yield app, url


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_sends_and_reads_within_its_caps(site: tuple[Site, str]) -> None:
    _, url = site
    async with OutboundGuard([url.removeprefix("http://")]) as guard:
        answer = await guard.request("POST", f"{url}/x", content=b"hello", headers={"X-A": "b"})
        assert (answer.status, answer.text, answer.truncated) == (200, "body: hello", False)
        cut = await guard.request("GET", f"{url}/big", max_bytes=1000)
        assert (len(cut.content), cut.truncated) == (1000, True)
        assert (await guard.request("GET", f"{url}/gzip")).content == b"0" * 100
        bomb = await guard.request("GET", f"{url}/bomb", max_bytes=2000)
        assert (len(bomb.content), bomb.truncated) == (2000, True)


async def test_goes_to_the_address_that_was_checked(site: tuple[Site, str]) -> None:
    app, url = site
    asked: list[str] = []

    async def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["::1", "127.0.0.1"]

    name = f"named.example:{port_of(url)}"
    async with OutboundGuard([name], resolver=resolver) as guard:
        answer = await guard.request("GET", f"http://{name}/")
    assert answer.status == 200
    assert app.hosts == [name]
    assert asked == ["named.example"]


async def test_a_name_that_leads_inside_is_refused(site: tuple[Site, str]) -> None:
    app, _ = site

    async def resolver(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "127.0.0.1"]

    async with OutboundGuard(resolver=resolver) as guard:
        with pytest.raises(OutboundBlocked, match=r"rebound\.example:443"):
            await guard.request("GET", "https://rebound.example/")
    assert app.hits == 0


async def test_redirects_are_checked_like_the_first_address(site: tuple[Site, str]) -> None:
    app, url = site
    async with OutboundGuard([url.removeprefix("http://")]) as guard:
        assert (await guard.request("GET", f"{url}/to/?/big")).status == 302
        followed = await guard.request("GET", f"{url}/to/?/big", redirects=3)
        assert (followed.status, followed.url) == (200, f"{url}/big")
        before = app.hits
        with pytest.raises(OutboundBlocked):
            await guard.request("GET", f"{url}/to/?http://127.0.0.1:1/", redirects=3)
        assert app.hits == before + 1
        endless = await guard.request("GET", f"{url}/to/?/to/", redirects=0)
        assert endless.status == 302
        posted = await guard.request("POST", f"{url}/to/?/big", redirects=3)
        assert posted.status == 302


async def test_says_whether_it_was_sent(site: tuple[Site, str]) -> None:
    _, url = site
    free = bind()
    dead = f"127.0.0.1:{free.getsockname()[1]}"
    free.close()
    async with OutboundGuard([url.removeprefix("http://"), dead, "nowhere.invalid:80"]) as guard:
        with pytest.raises(OutboundError) as refused:
            await guard.request("GET", f"http://{dead}/")
        assert not refused.value.sent
        with pytest.raises(OutboundError) as slow:
            await guard.request("GET", f"{url}/slow", seconds=0.3)
        assert slow.value.sent
        with pytest.raises(OutboundError) as cut:
            await guard.request("GET", f"{url}/cut")
        assert cut.value.sent
        with pytest.raises(OutboundError) as unknown:
            await guard.request("GET", "http://nowhere.invalid/")
        assert not unknown.value.sent
