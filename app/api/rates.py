"""How often a caller may ask: counted once who it is is known, told in RateLimit headers, refused with 429."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastapi import Request

from app.api.callers import client_network
from app.api.deps import runtime_of
from app.integrations.rates import Allowance, RateLimiter, Who
from app.models.errors import RateLimited
from app.models.identity import Principal

if TYPE_CHECKING:
    from starlette.types import Scope

ALLOWANCE = "sixlane.allowance"
_UNITS = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}
_BY = {"key": "with this key", "user": "by this user", "trigger": "to this trigger", "address": "from this address"}


async def limited(request: Request, *asked: Who) -> None:
    """Count this request against each limit, as in `("trigger", task_id)`. Raises RateLimited.

    Does nothing where limits are off. The answer tells the tightest limit that the request met.
    """
    limiter = limiter_of(request)
    if limiter is not None and asked:
        _tell(request.scope, await limiter.count(*asked))


def bar(request: Request) -> None:
    """Refuse an address that has used up its requests without a valid key. Raises RateLimited."""
    limiter = limiter_of(request)
    refusal = limiter.refused(address_of(request)) if limiter else None
    if refusal is not None:
        _tell(request.scope, refusal)


def limiter_of(request: Request) -> RateLimiter | None:
    """The process' limiter; None where limits are off."""
    return getattr(request.app.state, "rate_limiter", None)


def address_of(request: Request) -> Who:
    """The network that the request comes from, as a proxy in front of us tells it."""
    return ("address", client_network(request.scope, runtime_of(request).settings.server.trusted_proxies))


def of_principal(principal: Principal) -> tuple[Who, Who]:
    """The limits that every request of a principal counts against."""
    return ("key", principal.id), ("user", str(principal.user_id))


def rate_headers(scope: "Scope") -> list[tuple[bytes, bytes]]:
    """The headers that tell where the caller stands; none for a request that was not counted."""
    told: Allowance | None = scope.get(ALLOWANCE)
    if told is None:
        return []
    values: Mapping[str, int] = {"limit": told.limit, "remaining": told.remaining, "reset": told.reset}
    return [(f"ratelimit-{name}".encode(), str(value).encode()) for name, value in values.items()]


def _tell(scope: "Scope", allowance: Allowance) -> None:
    told: Allowance | None = scope.get(ALLOWANCE)
    if told is None or allowance.exceeded or allowance.remaining < told.remaining:
        scope[ALLOWANCE] = allowance
    if allowance.exceeded:
        unit = _UNITS.get(allowance.window, f"{allowance.window} seconds")
        raise RateLimited(
            f"More than {allowance.limit} requests in a {unit} {_BY[allowance.kind]}; "
            f"try again in {allowance.reset} seconds.",
            retry_after=allowance.reset,
            extra={"limit": allowance.kind},
        )
