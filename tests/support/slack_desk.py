"""A Slack app on loopback with everything behind it in this process: doors, a worker, and the far ends."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from support.slack_server import APP_TOKEN, SECRET, TOKEN, FakeSlack, request_of, signed

from app.api.application import application
from app.api.edge import EdgeOptions
from app.runtime import Runtime


def slack_settings(slack: FakeSlack, *, socket: bool = False) -> dict[str, str]:
    """The variables of an app on the fake Slack."""
    more = {"SLACK_APP_TOKEN": APP_TOKEN} if socket else {}
    return {
        "SLACK_BOT_TOKEN": TOKEN,
        "SLACK_SIGNING_SECRET": SECRET,
        "SLACK_API_BASE_URL": slack.url,
        **more,
    }


@dataclass
class Door:
    """The HTTP door as Slack sees it."""

    client: httpx.AsyncClient
    runtime: Runtime

    async def send(self, kind: str, payload: dict[str, Any], **headers: str) -> httpx.Response:
        """One signed request; `kind` is events, commands or interactions."""
        path, body, content_type = request_of(kind, payload)
        given = {**signed(body), "Content-Type": content_type, **headers}
        return await self.client.post(path, content=body, headers=given)

    async def say(self, payload: dict[str, Any]) -> None:
        """An event that is taken."""
        answer = await self.send("events", payload)
        assert (answer.status_code, answer.content) == (200, b""), answer.text

    async def command(self, payload: dict[str, str]) -> dict[str, Any]:
        """A slash command; what the person is shown."""
        answer = await self.send("commands", payload)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def click(self, payload: dict[str, Any]) -> dict[str, Any] | None:
        """A click, or a form."""
        answer = await self.send("interactions", payload)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.content) if answer.content else None

    async def rows(self, query: str) -> list[Any]:
        """Rows of the ledger."""
        async with self.runtime.database.across() as unit:
            return list((await unit.connection.exec_driver_sql(query)).all())


@asynccontextmanager
async def door_of(runtime: Runtime) -> AsyncGenerator[Door]:
    """The application on a runtime that is open, reached through its public host."""
    settings = runtime.settings

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        yield

    options = EdgeOptions(local=True, public_url="https://agents.example", cors_origins=(), max_body_bytes=1_048_576)
    assert settings.slack.bot_token is not None
    app = application(options, lifespan, runtime.metrics)
    app.state.runtime, app.state.rate_limiter = runtime, None
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.7", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="https://agents.example", timeout=30) as client:
        yield Door(client, runtime)
