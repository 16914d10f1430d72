"""The application on a runtime that is open already, behind a real port, and the official client of the OpenAI API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import openai
from fastapi import FastAPI
from openai.types.responses import Response
from support.serving import serving

from app.api.application import application
from app.api.edge import EdgeOptions
from app.integrations.metrics import Metrics
from app.runtime import Runtime


def kinds(response: Response) -> list[str]:
    """The types of the items that a response put out."""
    return [item.type for item in response.output]


@dataclass(frozen=True)
class Door:
    """Where the application listens, a key for it, and a client that never tries again by itself."""

    base: str
    key: str
    client: openai.AsyncOpenAI
    plain: httpx.AsyncClient


@asynccontextmanager
async def door(runtime: Runtime) -> AsyncIterator[Door]:
    """Serve the application on this runtime until the end of the block."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.runtime, app.state.rate_limiter = runtime, None
        yield

    made = application(EdgeOptions(), lifespan, Metrics())
    async with serving(made) as port:
        base = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=base, timeout=30) as plain:
            key = (await plain.post("/api-keys", json={"name": "openai"})).json()["key"]
            async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, timeout=30) as client:
                yield Door(base, key, client, plain)
