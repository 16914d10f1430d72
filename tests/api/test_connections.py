"""Linked accounts: whose is whose, who may see and end them, and linking from the command line."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from conftest import test_settings
from fastapi import FastAPI
from sqlalchemy import text
from support.browsers import Browser, browser
from support.forks import Talking, sixlane
from support.google_server import CLIENT_SECRET
from support.linking import ADA, BOB, START, Place, connected, linking_place, refused
from support.programs import clean_environment

from app.main import create_app
from app.models.connection import NotConnected, ReconnectNeeded
from app.models.identity import SCOPES
from app.services import keys


@pytest.fixture
async def place(database_url: str, redis_url: str, tmp_path: Path) -> AsyncGenerator[Place]:
    async with linking_place(database_url, redis_url, tmp_path) as opened:
        yield opened


async def test_two_people_connect_at_once_and_each_gets_their_own(place: Place) -> None:
    async with browser(place.google, ADA) as hers, browser(place.google, BOB) as his:
        links = await asyncio.gather(place.link(user_id="ada"), place.link(user_id="bob"))
        pages = await asyncio.gather(place.connect(hers, links[0]), place.connect(his, links[1]))
    connected(pages[0], ADA, "ada")
    connected(pages[1], BOB, "bob")
    for person, account in (("ada", ADA), ("bob", BOB)):
        token = await place.token(person, "read", "send")
        found = place.google.whose(token.value)
        assert (token.account, found and found.account) == (account, account)
        row = await place.connection(person)
        assert row is not None
        assert row.sealed_access is not None
        assert token.value.encode() not in row.sealed_access
        assert token.value not in repr(row) + repr(token)
    listed = (await place.client.get("/connections")).json()["data"]
    assert {(one["user_id"], one["account"], tuple(one["scopes"])) for one in listed} == {
        ("ada", ADA, ("read", "draft", "send")),
        ("bob", BOB, ("read", "draft", "send")),
    }
    one = (await place.client.get("/connections", params={"user_id": "ada"})).json()["data"]
    assert [row["account"] for row in one] == [ADA]
    status = (await place.client.get("/connections/google/status", params={"user_id": "bob"})).json()
    assert (status["connected"], status["connection"]["account"]) == (True, BOB)
    assert "ya29" not in str(listed)
    assert CLIENT_SECRET not in str(listed)


async def test_one_person_has_one_account(place: Place) -> None:
    async with browser(place.google, ADA) as hers, browser(place.google, BOB) as his:
        connected(await place.connect(hers, await place.link(user_id="ada")), ADA, "ada")
        refused(await his.go(await place.link(user_id="ada")), ADA, BOB, "Disconnect")
        row = await place.connection("ada")
        assert row is not None
        gone = await place.client.delete(f"/connections/{row.id}")
        assert (gone.json()["status"], gone.json()["status_reason"], gone.json()["scopes"]) == ("revoked", None, [])
        assert place.google.refresh_tokens(ADA) == set()
        connected(await place.connect(his, await place.link(user_id="ada")), BOB, "ada")
        again = await place.connection("ada")
        assert again is not None
        assert (again.id, again.status) == (row.id, "active")


async def test_taking_an_account_away_deletes_its_tokens_whatever_google_says(place: Place) -> None:
    async with browser(place.google, ADA) as hers:
        await place.connect(hers, await place.link())
        row = await place.connection()
        assert row is not None
        token = await place.token("owner", "read")
        gone = await place.client.delete(f"/connections/{row.id}")
        assert gone.status_code == 200
        assert place.google.whose(token.value) is None
        again = await place.client.delete(f"/connections/{row.id}")
        assert again.json() == gone.json()
        after = await place.connection()
        assert after is not None
        assert (after.sealed_access, after.sealed_refresh) == (None, None)
        with pytest.raises(NotConnected):
            await place.token("owner", "read")

        await place.connect(hers, await place.link())
        place.google.withdraw(ADA)
        async with place.runtime.database.across() as unit:
            await unit.connection.execute(text("UPDATE connections SET access_expires_at = app_now()"))
        with pytest.raises(ReconnectNeeded):
            await place.token("owner", "read")
        shown = (await place.client.get(f"/connections/{row.id}")).json()
        assert (shown["status"], shown["status_reason"]) == ("reconnect_needed", "invalid_grant")
        connected(await place.connect(hers, await place.link()), ADA, "owner")
        assert await place.token("owner", "read")


async def test_a_form_is_small_and_readable(place: Place) -> None:
    back = "/auth/callback"
    for body, code in ((b"x" * 20_000, 413), (b"\xff\xfe", 400), (b"&".join([b"a=b"] * 40), 400), (b"", 400)):
        answer = await place.client.post(back, content=body)
        assert answer.status_code == code, body[:9]
    posted = await place.client.post(back, data={"state": "s s", "code": "c", "answer": "yes"})
    assert (posted.status_code, posted.headers["location"]) == (303, f"{place.google.redirect_uri}?state=s+s&code=c")
    early = await place.client.get(await place.link(), headers={"Sec-Purpose": "prefetch;prerender"})
    assert (early.status_code, "set-cookie" in early.headers) == (400, False)


async def test_keys_link_for_whom_they_may(place: Place) -> None:
    runtime, owner = place.runtime, await place.owner()
    async with runtime.database.begin(owner.workspace_id) as unit:
        ada = await unit.users.see("ada")
        given = {"name": "x", "scopes": SCOPES}
        bound = await keys.issue(unit, runtime.peppers[0], user_id=ada.id, user_bound=True, **given)
        plain = await keys.issue(unit, runtime.peppers[0], user_id=owner.user_id, name="y")
    async with browser(place.google, BOB) as his:
        await place.connect(his, await place.link(user_id="bob"))
    bobs = await place.connection("bob")
    assert bobs is not None
    headers = {"X-Api-Key": bound.token}
    assert (await place.client.post(START, headers=headers, json={"user_id": "bob"})).status_code == 403
    assert (await place.client.get("/connections", headers=headers)).json()["data"] == []
    assert (await place.client.get(f"/connections/{bobs.id}", headers=headers)).status_code == 404
    assert (await place.client.delete(f"/connections/{bobs.id}", headers=headers)).status_code == 404
    lacking = await place.client.post(START, headers={"X-Api-Key": plain.token})
    assert lacking.json()["required_scope"] == "connections:manage"
    link = (await place.client.post(START, headers=headers)).json()["authorize_url"]
    async with browser(place.google, ADA) as hers:
        del hers.client.headers["Sec-Fetch-Site"]
        assert "Is this you?" in (await hers.go(link)).text, "whoever got a key may have sent the link on"
    wrong = await place.client.post(START, json={"scopes": ["delete"]})
    assert wrong.status_code == 422


async def test_the_command_line_waits_for_the_browser(
    place: Place, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SIXLANE_DATA": str(tmp_path)}
    environment = clean_environment(**given, **place.google.variables(), SIXLANE_LOG_LEVEL="error")

    async def said(command: Talking, one: Browser) -> list[str]:
        url = (await asyncio.to_thread(command.wait_for, "ticket=")).strip()
        await one.go(url)
        await asyncio.to_thread(lambda: command.process.wait(30))
        command.stop()
        return command.lines

    async with browser(place.google, ADA) as hers, browser(place.google, BOB) as his:
        del hers.client.headers["Sec-Fetch-Site"]
        with Talking("connect", "google", "--scope", "read", cwd=tmp_path, environment=environment) as cli:
            assert (await said(cli, hers))[-1] == f"Connected {ADA}"
        with Talking("connect", "google", cwd=tmp_path, environment=environment) as cli:
            place.google.will(BOB, deny=True)
            assert "declined" in (await said(cli, his))[-1]

    async def run(*words: str) -> str:
        return await asyncio.to_thread(sixlane, *words, folder=tmp_path, environment=environment)

    assert json.loads(await run("keys", "rotate", "--json")) == {
        "resealed": 0,
        "left": {
            "webhook_secrets.sealed": 0,
            "connections.sealed_refresh": 0,
            "connections.sealed_access": 0,
            "oauth_states.sealed_verifier": 0,
        },
    }
    environment["SIXLANE_KEYS"] = f"fresh:{'k' * 40}"
    with pytest.raises(AssertionError, match=r"connections.sealed_refresh +1"):
        await run("keys", "rotate", "--check")
    assert "Sealed anew: 2" in await run("keys", "rotate")
    await run("keys", "rotate", "--check")
    environment["GOOGLE_CLIENT_ID"] = ""
    with pytest.raises(AssertionError, match="GOOGLE_CLIENT_ID"):
        await run("connect", "google")


async def test_without_a_client_of_google_the_variables_are_named(client: httpx.AsyncClient) -> None:
    for method, path in (("POST", START), ("GET", START), ("GET", "/auth/callback"), ("POST", "/auth/callback")):
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (409, "google_not_configured"), path
        assert "GOOGLE_CLIENT_ID" in answer.json()["detail"]
    assert (await client.get("/connections/google/status")).json()["configured"] is False


async def test_a_tunnel_and_https_lead_to_the_same_doors(database_url: str, redis_url: str, tmp_path: Path) -> None:
    given = {"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "secret", "PUBLIC_URL": "https://tunnel.example"}
    app: FastAPI = create_app(test_settings(database_url, redis_url, tmp_path, **given))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as owner,
            httpx.AsyncClient(transport=transport, base_url="https://tunnel.example") as visitor,
        ):
            link = (await owner.post(START)).json()["authorize_url"]
            assert link.startswith(f"https://tunnel.example{START}?ticket=")
            for path in ("/connections", "/connections/google/status"):
                assert (await visitor.get(path, headers={"X-Forwarded-For": "192.0.2.7"})).status_code == 401
            leaving = await visitor.get(link, headers={"X-Forwarded-For": "192.0.2.7"})
    assert leaving.status_code == 303
    assert leaving.headers["location"].startswith("https://accounts.google.com/o/oauth2/v2/auth?")
    cookie = leaving.headers["set-cookie"]
    assert cookie.startswith("__Host-sixlane_link_")
    assert "Path=/;" in cookie
    assert "Secure" in cookie


async def test_people_of_slack_are_told_what_is_linked_and_lost(place: Place) -> None:
    address = await place.slack_link("ADA", ADA)
    runtime, workspace_id = place.runtime, (await place.owner()).workspace_id
    async with runtime.database.begin(workspace_id) as unit:
        user = await unit.users.see("slack:T1:ADA")
        await unit.identities.link("slack", "T1:ADA", user.id)
    async with browser(place.google, ADA) as hers:
        connected(await place.connect(hers, address), ADA, "ADA in Slack")
    place.google.withdraw(ADA)
    async with runtime.database.across() as unit:
        await unit.connection.execute(text("UPDATE connections SET access_expires_at = app_now()"))
    with pytest.raises(ReconnectNeeded):
        await place.token("slack:T1:ADA", "read")
    async with runtime.database.across() as unit:
        statement = "SELECT channel_id, state->'parts'->0->>'text' FROM slack_messages ORDER BY id"
        told = [tuple(row) for row in await unit.connection.execute(text(statement))]
    assert [channel for channel, _ in told] == ["ADA", "ADA"]
    assert told[0][1].startswith(f"Connected: {ADA}")
    assert f"lets me use {ADA} no more" in told[1][1]
