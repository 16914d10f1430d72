"""The ASGI application: doors, problems, documentation and the edge, put together."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app import __version__
from app.api import docs, problems
from app.api.edge import Edge, EdgeOptions
from app.api.routers import routes
from app.integrations.metrics import Metrics

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

DESCRIPTION = """Self-hosted AI agents: chat, delegate, and lose nothing.

Errors are problem documents (RFC 9457); branch on `code`. Lists are walked with `next_cursor` as `after`. Every POST
that creates takes an `Idempotency-Key`. Streams are server-sent events whose `data` is an `Event`.
"""

_SENT = ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID", "X-Api-Key", "X-Request-ID"]
_SHOWN = ["ETag", "Location", "X-Request-ID", "Idempotency-Replayed", "Retry-After"]
_RATES = ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]


def application(options: EdgeOptions, lifespan: Lifespan, metrics: Metrics) -> FastAPI:
    """An application that opens nothing before `lifespan`, which sets `app.state.runtime`."""
    app = FastAPI(
        title="Sixlane",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.max_body_bytes = options.max_body_bytes
    problems.install(app)
    # As they are: what `include_router` adds is nothing here, and it prepares each route again, which takes 2 ms each.
    app.router.routes += routes()
    docs.install(app, routes())
    if options.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.cors_origins),
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=_SENT,
            expose_headers=_SHOWN + _RATES,
        )
    app.add_middleware(Edge, options=options, metrics=metrics)
    return app
