"""The route class of every door: who asks is settled first, then the body is read, strictly."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.api.body import load
from app.api.deps import AnyScope, Keyless, Requires, is_known
from app.api.rates import address_of, bar, limited, limiter_of, of_principal
from app.models.errors import AppError, Unauthorized

Mark = Requires | AnyScope | Keyless
"""What a route says about who may call it."""


def mark_of(dependant: Dependant) -> Mark | None:
    """The route's own word on who may call it; None when it says nothing."""
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, Requires | AnyScope | Keyless):
            return dependency.call
    return None


class StrictRoute(APIRoute):
    """A route that refuses to exist unmarked, and reads its body only for those who may call it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        mark = mark_of(self.dependant)
        assert mark is not None, f"{self.path} does not say who may call it"
        reads = self.body_field is not None

        async def strict(request: Request) -> Response:
            await enter(request, mark)
            if reads:
                await load(request)
            try:
                return await handler(request)
            except Unauthorized:
                await limited(request, address_of(request))  # a door that checks a signature by itself
                raise

        return strict


async def enter(request: Request, mark: Mark) -> None:
    """Let the caller in: who it is, whether it may, and whether it may now. Raises what the mark does, RateLimited.

    Requests of a principal count for its key and its user, also the forbidden ones. Others count for their address,
    and once that has used up its requests, only keys that were good a moment ago are looked at.
    """
    if limiter_of(request) is None:
        await mark(request)
        return
    counted = not isinstance(mark, Keyless) or mark.counted
    if counted and not is_known(request):
        bar(request)
    refusal: AppError | None = None
    try:
        await mark(request)
    except AppError as error:
        refusal = error
    principal = request.scope.get("sixlane.principal")
    if principal is not None:
        await limited(request, *of_principal(principal))
    elif counted or refusal is not None:
        await limited(request, address_of(request))
    if refusal is not None:
        raise refusal
