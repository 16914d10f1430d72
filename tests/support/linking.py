"""The served application beside a strict Google, and the verbs that tests of linked accounts share."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from conftest import test_settings
from fastapi import FastAPI
from support.browsers import Browser
from support.google_server import GoogleServer, google_server
from support.loopback import bind
from support.serving import serving

from app.main import create_app
from app.models.connection import Connection, Token
from app.models.identity import Principal
from app.runtime import Runtime
from app.runtime.google import google_options
from app.services import connections, users
from app.services.connections import access_token

ADA, BOB = "ada@example.com", "bob@example.com"
START = "/connections/google/start"


@dataclass
class Place:
    """The served application, Google, and the owner's client at the machine."""

    app: FastAPI
    google: GoogleServer
    client: httpx.AsyncClient

    @property
    def runtime(self) -> Runtime:
        """The runtime of the application."""
        return self.app.state.runtime

    async def link(self, **wanted: Any) -> str:
        """The address that begins a link."""
        answer = await self.client.post(START, json=wanted)
        assert answer.status_code == 200, answer.text
        return answer.json()["authorize_url"]

    async def slack_link(self, person: str, profile_email: str | None) -> str:
        """The address that a person gets in Slack."""
        options = google_options(self.runtime.settings)
        async with self.runtime.database.begin((await self.owner()).workspace_id) as unit:
            user = await unit.users.see(f"slack:T1:{person}")
            return (await connections.ticket(unit, options, user.id, profile_email, person=f"{person} in Slack")).url

    async def owner(self) -> Principal:
        """The principal of local mode."""
        return await users.local_owner(self.runtime.database)

    async def connection(self, external_id: str = "owner") -> Connection | None:
        """What the ledger knows of a person's connection."""
        async with self.runtime.database.begin((await self.owner()).workspace_id) as unit:
            user = await unit.users.see(external_id)
            return await unit.connections.of_user(user.id)

    async def connect(self, one: Browser, address: str) -> httpx.Response:
        """Go all the way, and say yes."""
        page = await one.go(address)
        return await one.answer(page, "yes") if "<form" in page.text else page

    async def token(self, external_id: str, *scopes: Any) -> Token:
        """An access token of a person."""
        runtime, owner = self.runtime, await self.owner()
        async with runtime.database.begin(owner.workspace_id) as unit:
            user = await unit.users.see(external_id)
        options = google_options(runtime.settings)
        return await access_token(runtime.database, runtime.vault, options, owner.workspace_id, user.id, scopes)


@asynccontextmanager
async def linking_place(database_url: str, redis_url: str, data: Path, **variables: str) -> AsyncGenerator[Place]:
    """The application on a free port, with Google's answers coming back to it."""
    sock = bind()
    home = f"http://localhost:{sock.getsockname()[1]}"
    with google_server() as google:
        google.redirect_uri = f"{home}/auth/callback"
        app = create_app(test_settings(database_url, redis_url, data, **google.variables(), **variables))
        async with serving(app, sock), httpx.AsyncClient(base_url=home, timeout=30) as client:
            yield Place(app, google, client)


def connected(page: httpx.Response, account: str, person: str) -> None:
    """The page says that the account is linked to the person."""
    assert page.status_code == 200, page.text
    assert "<h1>Connected</h1>" in page.text
    assert f"<dd>{account}</dd>" in page.text
    assert f"<dd>{person}</dd>" in page.text


def refused(page: httpx.Response, *words: str) -> None:
    """The page says in these words that nothing was linked."""
    assert page.status_code == 400, (page.status_code, page.text)
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for word in words:
        assert word in page.text, page.text
