"""Mail in Slack: links for one person, what a channel never gets to see, and taking an account away."""

import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from support.model_server import script
from support.slack_desk import Door, door_of, slack_settings
from support.slack_server import BOT, FakeSlack, click, command, message, slack_server

from tests.flows.conftest import OpenDesk

DIRECT, CHANNEL = "D0ALICE01", "C0GENERAL"
BOB = "U0BOB0001"
NOBODY = "http://127.0.0.1:9"
GOOGLE = {
    "GOOGLE_CLIENT_ID": "client",
    "GOOGLE_CLIENT_SECRET": "secret",
    "GOOGLE_OAUTH_TOKEN_URL": f"{NOBODY}/token",
    "GOOGLE_OAUTH_REVOKE_URL": f"{NOBODY}/revoke",
    "GMAIL_API_BASE_URL": NOBODY,
}
SEARCH = {"tools": [{"name": "mail_search", "args": {"query": "is:unread"}}]}


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with slack_server() as server:
        server.profiles["U0ALICE01"] = {"email": "alice@example.com", "display_name": "Alice"}
        yield server


@pytest.fixture
async def door(slack: FakeSlack, open_desk: OpenDesk) -> AsyncGenerator[Door]:
    async with open_desk(**slack_settings(slack), **GOOGLE) as desk, door_of(desk.runtime) as door:
        yield door


async def linked(door: Door) -> str:
    """Say that Alice has an account linked, whose permission is gone at Google."""
    connection_id = str(uuid4())
    await door.rows(
        "INSERT INTO connections (workspace_id, id, user_id, provider, subject, account, scopes, status) "
        f"SELECT workspace_id, '{connection_id}', id, 'google', '1', 'alice@example.com', "
        "'{https://www.googleapis.com/auth/gmail.readonly}', 'active' FROM users "
        "WHERE external_id = 'slack:T0TEAM001:U0ALICE01' RETURNING id"
    )
    return connection_id


async def test_a_link_goes_to_one_person_and_is_stored_nowhere(door: Door, slack: FakeSlack) -> None:
    await door.say(message(f"<@{BOT}> auth", channel=CHANNEL))
    told = await slack.text("in a direct message", CHANNEL)
    assert told.to == "U0ALICE01"
    shown = await slack.text("Connect your Google account", DIRECT)
    url = shown.buttons["link"]["url"]
    ticket = url.partition("ticket=")[2]
    assert len(ticket) > 30
    await door.say(message("auth"))
    await slack.until(lambda: len([one for one in slack.said(DIRECT) if "Connect your Google" in one.text]) == 2)
    assert "direct message" in (await door.command(command("auth")))["text"]
    await slack.until(lambda: len([one for one in slack.said(DIRECT) if "Connect your Google" in one.text]) == 3)
    states = await door.rows("SELECT origin FROM oauth_states")
    assert {row[0]["email"] for row in states} == {"alice@example.com"}
    assert all("Alice" in row[0]["person"] for row in states)
    for table in ("slack_messages", "oauth_states", "deliveries"):
        rows = await door.rows(f"SELECT to_jsonb(t)::text FROM {table} t")
        assert not any(ticket in row[0] for row in rows), table


async def test_a_profile_that_cannot_be_read_makes_no_link_without_its_address(door: Door, slack: FakeSlack) -> None:
    slack.fault("users.info", status=503)
    await door.say(message("auth"))
    await slack.until(lambda: slack.made("users.info!503"))
    assert await door.rows("SELECT 1 FROM oauth_states") == []
    await slack.text("Connect your Google account", DIRECT)


async def test_a_mail_request_without_an_account_is_answered_with_a_button(door: Door, slack: FakeSlack) -> None:
    await door.say(message(script(SEARCH, {"text": "You have to connect first."}, say="my mail?")))
    shown = await slack.text("You have to connect first.")
    assert set(shown.buttons) == {"connect"}
    await door.click(click("connect", "google", user=BOB, channel=CHANNEL))
    await slack.text("Connect your Google account", "D0BOB0001")
    assert not any("Connect your Google" in one.text for one in slack.said(DIRECT))


async def test_what_a_mailbox_holds_is_never_said_in_a_channel(door: Door, slack: FakeSlack) -> None:
    first = message(f"<@{BOT}> hi", channel=CHANNEL)
    await door.say(first)
    await slack.text("You said: hi", CHANNEL)
    await door.rows("UPDATE conversations SET taint = '{mail}' RETURNING id")
    call = {
        "name": "propose_task",
        "args": {"title": "Secret plan", "prompt": "x", "when": {"cron": "0 8 * * 1-5", "timezone": "UTC"}},
    }
    asked = script({"text": "The secret is 4711."}, say="read my mail")
    await door.say(message(asked, channel=CHANNEL, thread_ts=first["event"]["ts"]))
    await slack.text("The secret is 4711.", DIRECT)
    await slack.text("answered you in a direct message", CHANNEL)
    await door.say(message(script({"tools": [call]}, say="plan"), channel=CHANNEL, thread_ts=first["event"]["ts"]))
    await slack.text("propose_task", DIRECT)
    public = json.dumps([one.payload for one in slack.said(CHANNEL)])
    assert "4711" not in public
    assert "Secret plan" not in public


async def test_an_account_is_taken_away_by_its_owner_after_one_question(door: Door, slack: FakeSlack) -> None:
    await door.say(message("hello"))
    await slack.text("I also know these words")
    connection_id = await linked(door)
    await door.say(message("status"))
    assert "alice@example.com, may read mail" in (await slack.text("Google:")).text
    await door.say(message("revoke"))
    asked = await slack.text("Shall I disconnect alice@example.com?")

    async def status() -> Any:
        return (await door.rows(f"SELECT status FROM connections WHERE id = '{connection_id}'"))[0][0]

    await door.click(click("revoke_yes", connection_id, user=BOB, ts=asked.ts))
    await slack.text("belongs to somebody else")
    await door.click(click("revoke_no", connection_id, ts=asked.ts))
    await slack.text("It stays connected.")
    assert await status() == "active"
    await door.say(message("revoke"))
    asked = await slack.until(lambda: next((one for one in slack.said(DIRECT) if "revoke_yes" in one.buttons), None))
    await door.click(click("revoke_yes", connection_id, ts=asked.ts))
    await slack.text("It is disconnected")
    assert await status() == "revoked"
