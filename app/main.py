"""The HTTP application: `create_app` builds it, `app` is it for a server that is given a name."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import FastAPI

from app.api.application import application
from app.api.edge import EdgeOptions
from app.config import Settings, load_settings
from app.integrations.metrics import Metrics
from app.integrations.rates import RateLimiter
from app.runtime import Runtime, open_runtime, set_up_logging, winding_down_on_signals


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application for these settings (else those of the environment). Opens nothing before its lifespan."""
    chosen = settings or load_settings()
    metrics = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        set_up_logging(chosen)
        async with open_runtime(chosen, "api", metrics) as runtime, _limiter(runtime) as limiter:
            app.state.runtime, app.state.rate_limiter = runtime, limiter
            with winding_down_on_signals(runtime):
                yield

    server = chosen.server
    options = EdgeOptions(
        local=not chosen.production,
        public_url=server.public_url,
        cors_origins=server.cors_origins,
        max_body_bytes=server.max_body_bytes,
    )
    return application(options, lifespan, metrics)


@contextlib.asynccontextmanager
async def _limiter(runtime: Runtime) -> AsyncGenerator[RateLimiter | None]:
    """Yield the counter of requests where the settings or the mode want one."""
    rates = runtime.settings.rates
    if rates.mode == "off" or (rates.mode == "auto" and not runtime.settings.production):
        yield None
        return
    limits = {kind: getattr(rates, f"per_{kind}") for kind in ("key", "user", "trigger", "address")}
    async with contextlib.aclosing(RateLimiter(runtime.redis_url, limits)) as limiter:
        runtime.tasks.start(limiter.serve(), "rates")
        yield limiter


def __getattr__(name: str) -> Any:
    """Build `app` when somebody asks for it, so that importing this module reads no settings."""
    if name == "app":
        globals()["app"] = create_app()
        return globals()["app"]
    raise AttributeError(name)
