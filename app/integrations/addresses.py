"""Web addresses in parts, and which network addresses are public under every notation that hides one in another."""

import ipaddress
import re
import socket
from dataclasses import dataclass

import httpx

from app.models.errors import InvalidInput

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS = {"http": 80, "https": 443}
"""The schemes that there are and their usual ports."""

_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*", re.ASCII)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")

_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")
_SPECIAL_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "168.63.129.16/32",  # a public address that is a cloud's internal metadata service
    )
)
_SPECIAL_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "3fff::/20")  # Teredo (2001::/32) lies in the first
)


def is_public(address: Address) -> bool:
    """Whether a connection to this address leaves for the public internet, whatever translates it on the way."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    inner = _unwrap(address)
    if inner is not None:
        return is_public(inner)
    if address.scope_id is not None or address not in _UNICAST_V6:
        return False
    return not any(address in network for network in _SPECIAL_V6)


def _unwrap(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or address.packed[8:12] in _ISATAP:
        return ipaddress.IPv4Address(address.packed[12:])
    return None


def literal(host: str) -> Address | None:
    """The address that a host is, in any notation that the resolver takes (`127.1`, `0x7f000001`, `2130706433`)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Place:
    """A checked address in parts; everything is built from these, so no second parser can disagree."""

    scheme: str
    host: str
    port: int
    path: bytes
    listed: bool

    @property
    def entry(self) -> str:
        """Host and port, as OUTBOUND_ALLOW_HOSTS takes them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """What the Host header says."""
        if self.port != PORTS[self.scheme]:
            return self.entry
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def url(self) -> str:
        """The address in one piece again."""
        return f"{self.scheme}://{self.authority}{self.path.decode('ascii')}"


def parse(url: str, allowed: frozenset[str]) -> Place:
    """The parts of a web address; `listed` when its host and port stand in `allowed`. Raises `InvalidInput`."""
    if len(url) > 2048 or _FORBIDDEN.search(url):
        raise InvalidInput("The address is too long or holds characters that no address has.", code="invalid_url")
    try:
        parts = httpx.URL(url)
        host = parts.raw_host.decode("ascii").lower().removesuffix(".")
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise InvalidInput("This is not a web address.", code="invalid_url") from error
    if parts.scheme not in PORTS or parts.userinfo:
        raise InvalidInput("The address must start with https:// and hold no user name.", code="invalid_url")
    if literal(host) is None and not _HOST_NAME.fullmatch(host):
        raise InvalidInput("The host of the address is not a host name.", code="invalid_url")
    port = parts.port or PORTS[parts.scheme]
    place = Place(parts.scheme, host, port, parts.raw_path, listed=False)
    return Place(parts.scheme, host, port, parts.raw_path, listed=place.entry in allowed)
