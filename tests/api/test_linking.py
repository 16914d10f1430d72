"""The way of a link over real sockets: browsers with their own cookies, a strict Google, and people who cheat."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text
from support.browsers import browser, form_of, hidden_of
from support.linking import ADA, BOB, START, Place, connected, linking_place, refused

from app.models.connection import NotConnected


@pytest.fixture
async def place(database_url: str, redis_url: str, tmp_path: Path) -> AsyncGenerator[Place]:
    async with linking_place(database_url, redis_url, tmp_path) as opened:
        yield opened


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
    assert await place.connection() is not None


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
