"""The outbound guard: every request to an address that a user or a model chose goes through here."""

import asyncio
import re
import socket
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self

import httpx

from app.integrations.addresses import PORTS, Address, Place, is_public, literal, parse
from app.models.errors import InvalidInput

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Gives the addresses of a host name."""

_LOCAL_SUFFIXES = ("localhost", ".localhost", ".local", ".internal", ".localdomain")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class OutboundBlocked(InvalidInput):
    """The address is not one that requests may go to; names the setting and the value that would open it."""

    code = "outbound_blocked"


class OutboundError(Exception):
    """The request failed. `sent` says whether the far end may have received it."""

    def __init__(self, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.sent = sent


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    """An answer, cut at the byte limit (`truncated`). `url` is the address that gave it, after redirects."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    truncated: bool
    url: str
    seconds: float

    @property
    def text(self) -> str:
        """The content as text, by the charset of its type, never failing."""
        found = re.search(r"charset=[\"']?([\w.-]+)", self.headers.get("content-type", ""))
        try:
            return self.content.decode(found.group(1) if found else "utf-8", "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host name, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class OutboundGuard:
    """Sends requests to public https addresses only, and to the `host:port` entries that the operator listed.

    A name is resolved once, every address it has is checked, and the connection goes to a checked address, so a
    changed DNS answer reaches nothing. Redirects are followed only when asked for, each checked like the first.
    """

    def __init__(
        self,
        allow_hosts: Iterable[str] = (),
        *,
        resolver: Resolver = resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = frozenset(entry.strip().lower() for entry in allow_hosts if entry.strip())
        self._resolve = resolver
        self._ssl = ssl_context
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def listed(self, host: str) -> bool:
        """Whether any entry of OUTBOUND_ALLOW_HOSTS has this host."""
        return any(entry.rpartition(":")[0].strip("[]") == host for entry in self._allowed)

    def check_url(self, url: str) -> None:
        """Refuse an address that could never be reached: what can be said without asking the DNS.

        Meant for the moment a person names an address. Raises `OutboundBlocked` or `InvalidInput`.
        """
        self._place(url)

    async def pin(self, url: str) -> tuple[Place, list[Address]]:
        """The address in parts and the network addresses that a request to it may go to, for other clients.

        Raises `OutboundBlocked` or `InvalidInput`, and `OutboundError` when the name does not resolve.
        """
        place = self._place(url)
        return place, await self._addresses(place)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        seconds: float = 15.0,
        max_bytes: int = 1_000_000,
        redirects: int = 0,
    ) -> OutboundResponse:
        """Send one request and read at most `max_bytes` of the answer, all within `seconds`.

        Raises `OutboundBlocked` before anything is sent, and `OutboundError` when there is no answer. With
        `redirects`, that many redirects of a GET are followed; without, a redirect is an answer like any other.
        """
        flight = _Flight(method, headers or {}, content, max_bytes)
        try:
            async with asyncio.timeout(seconds):
                answer = await self._send(url, flight)
                while redirects > 0 and method == "GET" and (target := _redirect(answer)):
                    redirects -= 1
                    answer = await self._send(target, flight)
                return answer
        except TimeoutError as error:
            raise OutboundError(f"no complete answer within {seconds:g} s", sent=flight.sent) from error
        except httpx.InvalidURL as error:
            raise OutboundError("redirected to something that is no address", sent=True) from error

    def _place(self, url: str) -> Place:
        place = parse(url, self._allowed)
        if place.listed:
            return place
        if place.scheme != "https":
            raise _blocked(place, "is not https")
        if place.port not in PORTS.values():
            raise _blocked(place, f"uses port {place.port}")
        address = literal(place.host)
        local = place.host.endswith(_LOCAL_SUFFIXES) if address is None else not is_public(address)
        if local:
            raise _blocked(place, "is not a public address")
        return place

    async def _addresses(self, place: Place) -> list[Address]:
        known = literal(place.host)
        if known is not None:
            return [known]
        try:
            found = [ip_address(text) for text in await self._resolve(place.host, place.port)]
        except (OSError, ValueError, UnicodeError) as error:
            raise OutboundError(f"the name {place.host} does not resolve", sent=False) from error
        if not found:
            raise OutboundError(f"the name {place.host} has no address", sent=False)
        if not place.listed and not all(is_public(address) for address in found):
            raise _blocked(place, "leads to an address that is not public")
        return found

    async def _send(self, url: str, flight: "_Flight") -> OutboundResponse:
        place = self._place(url)
        addresses = await self._addresses(place)
        for number, address in enumerate(addresses, start=1):
            try:
                return await self._send_to(address, place, flight)
            except httpx.HTTPError as error:
                if flight.sent or number == len(addresses):
                    reason = str(error) or type(error).__name__
                    raise OutboundError(f"{place.entry}: {reason}", sent=flight.sent) from error
        raise AssertionError("no address was tried")

    async def _send_to(self, address: Address, place: Place, flight: "_Flight") -> OutboundResponse:
        request = httpx.Request(
            flight.method,
            httpx.URL(scheme=place.scheme, host=str(address), port=place.port, raw_path=place.path),
            headers={"Accept-Encoding": "identity", **flight.headers, "Host": place.authority},
            content=flight.content,
            extensions={
                "sni_hostname": place.host,
                "timeout": {"connect": 5.0, "read": None, "write": None, "pool": None},
                "trace": flight.trace,
            },
        )
        started = time.monotonic()
        response = await self._open_client().send(request, stream=True, follow_redirects=False)
        try:
            body, truncated = await flight.read(response)
        finally:
            await response.aclose()
        took = time.monotonic() - started
        return OutboundResponse(response.status_code, dict(response.headers), body, truncated, place.url, took)

    def _open_client(self) -> httpx.AsyncClient:
        if self._client is None:
            # No kept connections: a pooled one would be picked by address alone, whatever name it was opened for.
            limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
            verify = True if self._ssl is None else self._ssl
            self._client = httpx.AsyncClient(verify=verify, limits=limits, trust_env=False)
        return self._client


class _Flight:
    """A request on its way: what is sent, whether a byte of it was written yet, and how much may come back."""

    def __init__(self, method: str, headers: Mapping[str, str], content: bytes | None, max_bytes: int) -> None:
        self.method = method
        self.headers = headers
        self.content = content
        self.sent = False
        self._max = max_bytes

    async def trace(self, event: str, _info: Mapping[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            self.sent = True

    async def read(self, response: httpx.Response) -> tuple[bytes, bool]:
        encoding = response.headers.get("content-encoding", "identity").lower()
        unpack = None if encoding == "identity" else zlib.decompressobj(wbits=47)
        if unpack is not None and encoding not in ("gzip", "x-gzip", "deflate"):
            raise OutboundError(f"answered in the encoding {encoding}, which was not asked for", sent=True)
        body = bytearray()
        async for chunk in response.aiter_raw():
            room = self._max + 1 - len(body)
            try:
                body += chunk[:room] if unpack is None else unpack.decompress(chunk, room)
            except zlib.error as error:
                raise OutboundError("answered with a body that cannot be decompressed", sent=True) from error
            if len(body) > self._max:
                return bytes(body[: self._max]), True
        return bytes(body), False


def _redirect(answer: OutboundResponse) -> str | None:
    target = answer.headers.get("location")
    if answer.status not in _REDIRECTS or not target:
        return None
    return str(httpx.URL(answer.url).join(target))


def _blocked(place: Place, reason: str) -> OutboundBlocked:
    return OutboundBlocked(
        f"{place.url} {reason}. Only public https addresses are open; to allow this one, "
        f"add {place.entry} to OUTBOUND_ALLOW_HOSTS.",
        extra={"setting": "OUTBOUND_ALLOW_HOSTS", "value": place.entry},
    )
