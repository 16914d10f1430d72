"""What the connection itself tells of a caller: its credential, its host name, and whether it is the owner at home."""

import ipaddress
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from app.models.errors import BadRequest, Unauthorized

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_FORWARDED = ("x-forwarded-", "cf-")
_LONGEST_KEY = 512
_MOST_HOPS = 10


def host_name(host: str) -> str:
    """The Host header without its port, in lower case; an IPv6 address keeps its brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.partition(":")[0].removesuffix(".")


def known_hosts(public_url: str | None) -> frozenset[str]:
    """The host names that the server answers to in local mode."""
    public = {host_name(urlsplit(public_url).netloc.rpartition("@")[2])} if public_url else set[str]()
    return LOOPBACK_NAMES | public


def is_loopback_peer(client: Iterable[Any] | None) -> bool:
    """Whether the connection comes from this machine. A peer without an address (a socket file) does not count."""
    address = next(iter(client), None) if client else None
    try:
        return ipaddress.ip_address(str(address)).is_loopback
    except ValueError:
        return False


def is_local_caller(scope: Scope) -> bool:
    """Whether this is the person at the machine: no other machine, no tunnel, no foreign page in the browser.

    The peer is loopback, Host is a loopback name, nothing was forwarded, and Origin and Sec-Fetch-Site are absent or
    those of our own pages; a page may also be opened by its address.
    """
    headers = Headers(scope=scope)
    if not is_loopback_peer(scope.get("client")) or host_name(headers.get("host", "")) not in LOOPBACK_NAMES:
        return False
    if any(name == "forwarded" or name.startswith(_FORWARDED) for name in headers):
        return False
    own = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
    if any(origin.lower() != own.lower() for origin in headers.getlist("origin")):
        return False
    # "none" is what a browser says when a person typed the address or used a bookmark; no page can make it say so.
    allowed = {"same-origin", "none"} if scope["method"] in ("GET", "HEAD") else {"same-origin"}
    return all(site in allowed for site in headers.getlist("sec-fetch-site"))


def client_network(scope: Scope, trusted: Iterable[str]) -> str:
    """The address that a request comes from; of an IPv6 address the network of 64 bits that one subscriber has.

    `X-Forwarded-For` is believed from the right, for as long as the hop that wrote it is in one of the `trusted`
    networks. A peer without an address, and one that says nothing readable, is "unknown".
    """
    networks = [ipaddress.ip_network(one, strict=False) for one in trusted]
    client: Iterable[Any] = scope.get("client") or ("",)
    said = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",") if networks else []
    hops = [str(next(iter(client))), *(hop.strip() for hop in reversed(said) if hop.strip())]
    found = "unknown"
    for hop in hops[:_MOST_HOPS]:
        try:
            address = ipaddress.ip_address(hop.strip("[]"))
        except ValueError:
            break
        address = getattr(address, "ipv4_mapped", None) or address
        found = str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
        if not any(address in network for network in networks):
            break
    return found


def credential(headers: Headers) -> str | None:
    """The API key of a request, from `Authorization: Bearer` or `X-Api-Key`; None when there is none.

    Raises BadRequest for more than one, Unauthorized for a scheme or a form that we do not know.
    """
    bearers, plain = headers.getlist("authorization"), headers.getlist("x-api-key")
    if len(bearers) + len(plain) > 1:
        raise BadRequest("Send one credential: Authorization or X-Api-Key, not both.", code="two_credentials")
    if plain:
        return _checked(plain[0])
    if not bearers:
        return None
    scheme, _, token = bearers[0].partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized
    return _checked(token.strip())


def _checked(token: str) -> str:
    if not token or len(token) > _LONGEST_KEY or not token.isascii():
        raise Unauthorized
    return token
