"""An API process in this process: the whole application on the test's own database, called as the local owner."""

from collections.abc import AsyncGenerator

import httpx
import pytest
from fastapi import FastAPI

from app.config import Settings
from app.main import create_app


@pytest.fixture
async def app(settings: Settings) -> AsyncGenerator[FastAPI]:
    """The application, with its lifespan running."""
    made = create_app(settings)
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def client(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    """A client at the machine itself: loopback peer, loopback Host, no key."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as opened:
        yield opened
