"""Linking Google accounts over real sockets: browsers with their own cookies, a strict Google, and people who cheat."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from conftest import test_settings
from fastapi import FastAPI
from sqlalchemy import text
from support import programs
from support.browsers import Browser, browser, form_of, hidden_of
from support.google_server import CLIENT_SECRET, GoogleServer, google_server
from support.loopback import bind
from support.programs import SIXLANE, Running, clean_environment
from support.serving import serving

from app.main import create_app
from app.models.connection import Connection, NotConnected, ReconnectNeeded, Token
from app.models.identity import SCOPES
from app.runtime import Runtime
from app.runtime.google import google_options
from app.services import connections, keys, users
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

    async def owner(self) -> Any:
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


@pytest.fixture
async def place(database_url: str, redis_url: str, tmp_path: Path) -> AsyncGenerator[Place]:
    sock = bind()
    port = sock.getsockname()[1]
    with google_server() as google:
        google.redirect_uri = f"http://localhost:{port}/auth/callback"
        settings = test_settings(database_url, redis_url, tmp_path, **google.variables())
        app = create_app(settings)
        async with (
            serving(app, sock),
            httpx.AsyncClient(base_url=f"http://localhost:{port}", timeout=30) as client,
        ):
            yield Place(app, google, client)


def connected(page: httpx.Response, account: str, person: str) -> None:
    assert page.status_code == 200, page.text
    assert "<h1>Connected</h1>" in page.text
    assert f"<dd>{account}</dd>" in page.text
    assert f"<dd>{person}</dd>" in page.text


def refused(page: httpx.Response, *words: str) -> None:
    assert page.status_code == 400, (page.status_code, page.text)
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for word in words:
        assert word in page.text, page.text


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


async def test_what_google_is_asked(place: Place) -> None:
    async with browser(place.google, ADA) as hers:
        page = await hers.go(await place.link(scopes=["read"], account=ADA), stop="/authorize")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(page.headers["location"]).query).items()}
        cookie = page.headers["set-cookie"]
        assert asked["scope"] == "openid email https://www.googleapis.com/auth/gmail.readonly"
        assert asked["redirect_uri"] == place.google.redirect_uri
        expected = {"access_type": "offline", "include_granted_scopes": "true", "prompt": "consent", "login_hint": ADA}
        assert {name: asked[name] for name in expected} == expected
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/auth/callback" in cookie
        assert asked["state"] not in cookie

        await place.connect(hers, await place.link(scopes=["read"]))
        page = await hers.go(await place.link(scopes=["label"]), stop="/authorize")
        again = parse_qs(urlsplit(page.headers["location"]).query)
        assert "prompt" not in again, "there is a lasting permission already"
        before = await place.connection()
        connected(await place.connect(hers, await place.link(scopes=["label"])), ADA, "owner")
        after = await place.connection()
    assert before is not None
    assert after is not None
    assert after.id == before.id
    assert after.sealed_refresh == before.sealed_refresh
    assert await place.token("owner", "read", "label")


async def test_the_owner_at_the_machine_is_not_asked_again(place: Place) -> None:
    async with browser(place.google, ADA) as hers:
        del hers.client.headers["Sec-Fetch-Site"]
        page = await hers.go(await place.link())
    connected(page, ADA, "owner")


async def test_a_link_holds_once_and_in_one_browser(place: Place) -> None:
    async with browser(place.google, ADA) as hers, browser(place.google, BOB) as his:
        link = await place.link()
        page = await hers.go(link, stop="/authorize")
        refused(await his.go(link), "used before")
        refused(await hers.go(link), "used before")
        at_google = page.headers["location"]
        back = (await hers.go(at_google, stop="/auth/callback")).headers["location"]
        refused(await his.go(back), "another browser")
        refused(await hers.go(back), "used before")  # a state that was seen elsewhere is good no more
        assert await place.connection() is None

        back = (await hers.go(await place.link(), stop="/auth/callback")).headers["location"]
        question = await hers.go(back)
        refused(await hers.go(back), "used before")
        refused(await his.answer(question, "yes"), "another browser")
        refused(await hers.answer(question, "yes"), "used before")
        for lost in ("/auth/callback", f"{START}?ticket=x"):
            refused(await hers.go(str(place.client.base_url.join(lost))), "used before")
    assert await place.connection() is None


async def test_a_link_ends_after_ten_minutes(place: Place) -> None:
    async with browser(place.google, ADA) as hers:
        link = await place.link()
        back = (await hers.go(await place.link(), stop="/auth/callback")).headers["location"]
        async with place.runtime.database.across() as unit:
            await unit.connection.execute(text("UPDATE app_clock SET offset_by = interval '601 seconds'"))
        refused(await hers.go(link), "expired")
        refused(await hers.go(back), "expired")
        async with place.runtime.database.across() as unit:
            await unit.connection.execute(text("UPDATE app_clock SET offset_by = interval '25 hours'"))
            assert await unit.links.forget(100) == 2


async def test_crossed_links_connect_nothing(place: Place) -> None:
    """Bob wants Ada's mailbox, or wants Ada to use his."""
    async with browser(place.google, ADA) as hers, browser(place.google, BOB) as his:
        for bobs in (await place.slack_link("BOB", BOB), await place.slack_link("BOB", BOB)):
            refused(await hers.go(bobs), BOB, ADA, "Nothing was connected", "they would have got your mail")
        opened = await his.go(await place.slack_link("BOB", BOB), stop="/authorize")
        refused(await hers.go(opened.headers["location"]), "another browser")
        back = (await his.go(await place.slack_link("BOB", BOB), stop="/auth/callback")).headers["location"]
        refused(await hers.go(back), "another browser")
        adas = (await hers.go(await place.slack_link("ADA", ADA), stop="/authorize")).headers["location"]
        hers_at_bobs = (await his.go(adas, stop="/auth/callback")).headers["location"]
        refused(await hers.go(hers_at_bobs), ADA, BOB)
        question = await his.go(await place.slack_link("BOB", BOB))
        refused(await hers.answer(question, "yes"), "another browser")
        assert await place.connection("slack:T1:BOB") is None
        assert await place.connection("slack:T1:ADA") is None
        connected(await place.connect(his, await place.slack_link("BOB", BOB.upper())), BOB, "BOB in Slack")


async def test_a_link_from_slack_asks_before_it_connects(place: Place) -> None:
    async with browser(place.google, ADA) as hers:
        name = "<img src=//evil.example>"
        question = await hers.go(await place.slack_link(name, None))
        assert await place.connection(f"slack:T1:{name}") is None
        assert "Is this you?" in question.text
        assert ADA in question.text
        assert "&lt;img" in question.text
        assert "<img" not in question.text
        assert "http" not in form_of(question).removeprefix(str(place.client.base_url))
        declined = await hers.answer(question, "no")
        assert (declined.status_code, "Not connected" in declined.text) == (200, True)
        refused(await hers.answer(question, "yes"), "used before")
        assert await place.connection(f"slack:T1:{name}") is None
        async with place.runtime.database.across() as unit:
            kept = await unit.connection.execute(text("SELECT sealed_verifier FROM oauth_states"))
            assert [bytes(row[0]) for row in kept] == [b""]
        question = await hers.go(await place.slack_link(name, None))
        stranger = await hers.client.post(form_of(question), data={"token": "x", "answer": "yes"})
        refused(stranger, "used before")
        connected(await hers.answer(question, "yes"), ADA, f"{name} in Slack".replace("<", "&lt;").replace(">", "&gt;"))
        assert len(hidden_of(question)["token"]) >= 64


async def test_saying_no_at_google_is_a_normal_end(place: Place) -> None:
    place.google.will(ADA, deny=True)
    async with browser(place.google, ADA) as hers:
        page = await hers.go(await place.link())
    assert (page.status_code, "Not connected" in page.text) == (200, True)
    assert await place.connection() is None
    assert (await place.client.get("/connections/google/status")).json() == {
        "configured": True,
        "connected": False,
        "connection": None,
    }


async def test_what_was_not_ticked_is_not_there(place: Place) -> None:
    place.google.will(ADA, untick=frozenset({"https://www.googleapis.com/auth/gmail.compose"}))
    async with browser(place.google, ADA) as hers:
        page = await place.connect(hers, await place.link())
        assert "read and search mail" in page.text
        assert "send mail" not in page.text
        await place.token("owner", "read")
        with pytest.raises(NotConnected) as missing:
            await place.token("owner", "read", "send", "draft")
        assert missing.value.missing == ("send", "draft")
        place.google.will(
            BOB, untick=frozenset(f"https://www.googleapis.com/auth/gmail.{w}" for w in ("compose", "readonly"))
        )
    async with browser(place.google, BOB) as his:
        page = await place.connect(his, await place.link(user_id="bob"))
        assert "tick" in page.text
    with pytest.raises(NotConnected):
        await place.token("bob", "read")
    with pytest.raises(NotConnected):
        await place.token("carol", "read")


async def test_a_permission_that_does_not_last_is_no_connection(place: Place) -> None:
    place.google.will(ADA, lasting=False)
    async with browser(place.google, ADA) as hers:
        refused(await hers.go(await place.link()), "no lasting permission")
        assert await place.connection() is None
        place.google.will(ADA)
        connected(await place.connect(hers, await place.link()), ADA, "owner")


@pytest.mark.parametrize(
    "manners",
    [
        {"nonce": "another"},
        {"foreign_key": True},
        {"claims": {"aud": "somebody-else"}},
        {"claims": {"azp": "somebody-else"}},
        {"claims": {"iss": "https://evil.example"}},
        {"claims": {"exp": 1}},
        {"claims": {"sub": None}},
        {"verified": False},
    ],
)
async def test_an_identity_that_is_not_proved_is_none(place: Place, manners: dict[str, Any]) -> None:
    place.google.will(ADA, **manners)
    async with browser(place.google, ADA) as hers:
        refused(await hers.go(await place.link()))
    assert await place.connection() is None


async def test_an_address_that_the_id_token_leaves_out_is_asked_for(place: Place) -> None:
    place.google.will(ADA, claims={"email": None})
    async with browser(place.google, ADA) as hers:
        connected(await place.connect(hers, await place.link()), ADA, "owner")
    assert place.google.counts["/userinfo"] == 1


async def test_an_answer_from_somebody_else_is_refused(place: Place) -> None:
    place.google.said_issuer = "https://evil.example"
    async with browser(place.google, ADA) as hers:
        refused(await hers.go(await place.link()), "somewhere else")
        assert place.google.counts["/token"] == 0
        place.google.said_issuer = None
        place.google.fail(500)
        away = await hers.go(await place.link())
        assert (away.status_code, away.headers["retry-after"]) == (503, "60")
        assert "500" in away.text


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

    async def said(command: Running, one: Browser) -> list[str]:
        url = (await asyncio.to_thread(command.wait_for, "ticket=")).strip()
        await one.go(url)
        await asyncio.to_thread(command.process.wait, 30)
        command.stop()
        return command.lines

    async with browser(place.google, ADA) as hers, browser(place.google, BOB) as his:
        del hers.client.headers["Sec-Fetch-Site"]
        with Running([*SIXLANE, "connect", "google", "--scope", "read"], cwd=tmp_path, environment=environment) as cli:
            assert (await said(cli, hers))[-1] == f"Connected {ADA}"
        with Running([*SIXLANE, "connect", "google"], cwd=tmp_path, environment=environment) as cli:
            place.google.will(BOB, deny=True)
            assert "declined" in (await said(cli, his))[-1]
    run = partial(asyncio.to_thread, programs.run, cwd=tmp_path, environment=environment)
    assert json.loads(await run(*SIXLANE, "keys", "rotate", "--json")) == {
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
        await run(*SIXLANE, "keys", "rotate", "--check")
    assert "Sealed anew: 2" in await run(*SIXLANE, "keys", "rotate")
    await run(*SIXLANE, "keys", "rotate", "--check")
    environment["GOOGLE_CLIENT_ID"] = ""
    with pytest.raises(AssertionError, match="GOOGLE_CLIENT_ID"):
        await run(*SIXLANE, "connect", "google")


async def test_without_a_client_of_google_the_variables_are_named(client: httpx.AsyncClient) -> None:
    for method, path in (("POST", START), ("GET", START), ("GET", "/auth/callback"), ("POST", "/auth/callback")):
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (409, "google_not_configured"), path
        assert "GOOGLE_CLIENT_ID" in answer.json()["detail"]
    assert (await client.get("/connections/google/status")).json()["configured"] is False
