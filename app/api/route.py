"""The route class of every door: who asks is settled first, then the body is read, strictly."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.api.body import load
from app.api.deps import AnyScope, Keyless, Requires

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
            await mark(request)
            if reads:
                await load(request)
            return await handler(request)

        return strict
