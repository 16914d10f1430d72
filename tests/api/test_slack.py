"""Slack's doors: who is let in, what is refused before any work, and what the forms of Slack may look like."""

import json
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import test_settings
from fastapi import FastAPI
from support.slack_desk import slack_settings
from support.slack_server import (
    FakeSlack,
    click,
    command,
    message,
    request_of,
    signed,
    slack_server,
)

from app.main import create_app

DOORS: list[tuple[str, dict[str, Any]]] = [
    ("events", message("hi")),
    ("commands", command("hello")),
    ("interactions", click("stop", "0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11")),
]


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with slack_server() as server:
        yield server


def variables(slack: FakeSlack, mode: str) -> dict[str, str]:
    production = {
        "SIXLANE_ENV": "production",
        "PUBLIC_URL": "https://agents.example",
        "SIXLANE_KEYS": "k1:" + "A" * 43 + "=",
        "DEFAULT_MODEL": "demo",
    }
    local = {"PUBLIC_URL": "https://agents.example"}
    return {**slack_settings(slack), **(production if mode == "production" else local)}


@pytest.fixture(params=["local", "production"])
async def app(
    request: pytest.FixtureRequest, slack: FakeSlack, database_url: str, redis_url: str, tmp_path: Path
) -> AsyncGenerator[FastAPI]:
    made = create_app(test_settings(database_url, redis_url, tmp_path, **variables(slack, request.param)))
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def slacks(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    """Slack's servers, as the door sees them."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.7", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="https://agents.example", timeout=30) as opened:
        yield opened


async def send(client: httpx.AsyncClient, kind: str, payload: dict[str, Any], **sign: Any) -> httpx.Response:
    path, body, content_type = request_of(kind, payload)
    return await client.post(path, content=body, headers={**signed(body, **sign), "Content-Type": content_type})


async def nothing_happened(app: FastAPI) -> bool:
    async with app.state.runtime.database.across() as unit:
        found = await unit.connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM slack_receipts) "
            "+ (SELECT count(*) FROM users WHERE external_id LIKE 'slack:%%')"
        )
        return found.scalar_one() == 0


@pytest.mark.parametrize(("kind", "payload"), DOORS)
async def test_unsigned_stale_and_altered_requests_are_refused_before_any_work(
    app: FastAPI, slacks: httpx.AsyncClient, slack: FakeSlack, kind: str, payload: dict[str, Any]
) -> None:
    path, body, content_type = request_of(kind, payload)
    good, now = signed(body), time.time()
    bad: list[dict[str, Any]] = [
        {},
        {"X-Slack-Signature": good["X-Slack-Signature"]},
        {"X-Slack-Request-Timestamp": good["X-Slack-Request-Timestamp"]},
        signed(body, at=now - 302),
        signed(body, at=now + 330),
        signed(body, secret="another"),
        signed(body, secret=""),
        signed(body + b" "),
        {**good, "X-Slack-Signature": good["X-Slack-Signature"][:-1]},
        {**good, "X-Slack-Signature": "v0="},
        {**good, "X-Slack-Signature": "v0=é".encode()},
        {**good, "X-Slack-Request-Timestamp": f"{int(now)}.0"},
        {**good, "X-Slack-Request-Timestamp": "-1"},
        {**good, "X-Slack-Request-Timestamp": "9" * 40},
    ]
    answers = [
        await slacks.post(path, content=body, headers={**headers, "Content-Type": content_type}) for headers in bad
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert slack.calls == []
    assert await nothing_happened(app)


@pytest.mark.parametrize(("kind", "payload"), DOORS)
async def test_another_app_and_another_workspace_are_refused(
    app: FastAPI, slacks: httpx.AsyncClient, kind: str, payload: dict[str, Any]
) -> None:
    team = {"team": {"id": "T0OTHER01"}} if kind == "interactions" else {"team_id": "T0OTHER01"}
    for wrong in (team, {"api_app_id": "A0OTHER01"}, {"api_app_id": ""}):
        assert (await send(slacks, kind, {**payload, **wrong})).status_code == 401
    assert await nothing_happened(app)
    assert (await send(slacks, kind, payload)).status_code == 200


async def test_the_address_is_verified_with_a_signature_only(slacks: httpx.AsyncClient) -> None:
    asked = {"type": "url_verification", "challenge": "word", "token": "x"}
    answer = await send(slacks, "events", asked)
    assert (answer.status_code, answer.json()) == (200, {"challenge": "word"})
    assert (await slacks.post("/slack/events", json=asked)).status_code == 401


@pytest.mark.parametrize("kind", ["events", "commands", "interactions"])
async def test_signed_nonsense_is_no_error_of_ours(app: FastAPI, slacks: httpx.AsyncClient, kind: str) -> None:
    own = {"team_id": "T0TEAM001", "team": {"id": "T0TEAM001"}, "api_app_id": "A0APP0001"}
    bodies: list[bytes] = [
        b"",
        b"[]",
        b"\xff\xfe",
        b"payload=%ff",
        b"payload=[]",
        b"a=1&" * 200,
        b'{"event": ' + b"[" * 90,
    ]
    for odd in (
        {**own, "event": []},
        {**own, "event": {"type": "message", "channel": 1, "user": {"a": 1}, "ts": [], "text": {}}},
        {**own, "event": {"type": "message", "channel": "D1", "user": "U1", "ts": "x", "text": "hi\ud800"}},
        {**own, "event": {"type": "message", "channel": "D1", "user": "U1", "ts": "9" * 99, "text": "hi"}},
        {**own, "type": "block_actions", "actions": {}, "user": {"id": "U1"}},
        {**own, "type": "block_actions", "actions": [{"action_id": "approve", "value": "x"}], "user": {"id": "U1"}},
        {**own, "type": "view_submission", "view": {"private_metadata": "x"}, "user": {"id": "U1"}},
        {**own, "type": "view_submission", "view": {"callback_id": "edit", "state": []}, "user": {"id": "U1"}},
        {**own, "type": "block_actions", "user": []},
    ):
        bodies.append(json.dumps(odd).encode())
        bodies.append(request_of("interactions", odd)[1])
    for body in bodies:
        answer = await slacks.post(f"/slack/{kind}", content=body, headers=signed(body))
        assert answer.status_code < 500, (body, answer.text)


async def test_without_a_signing_secret_nobody_gets_in(
    slack: FakeSlack, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    given = {**slack_settings(slack), "SLACK_SIGNING_SECRET": ""}
    made = create_app(test_settings(database_url, redis_url, tmp_path, **given))
    async with made.router.lifespan_context(made):
        transport = httpx.ASGITransport(made, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for kind, payload in DOORS:
                for secret in ("", "slack-signing-secret", "None"):
                    assert (await send(client, kind, payload, secret=secret)).status_code == 401
        assert await nothing_happened(made)


async def test_while_slack_does_not_say_who_the_bot_is_events_come_again(
    app: FastAPI, slacks: httpx.AsyncClient, slack: FakeSlack
) -> None:
    slack.fault("auth.test", status=503)
    event = message("hi")
    answer = await send(slacks, "events", event)
    assert (answer.status_code, answer.json()["code"]) == (503, "slack_unavailable")
    assert await nothing_happened(app)
    assert (await send(slacks, "events", event)).status_code == 200
    assert not await nothing_happened(app)
