"""Slack without a public address, and Slack after everything was restarted and a week has gone by."""

import json
from collections.abc import Iterator

import pytest
from support.loopback import Loopback
from support.model_server import script
from support.slack_desk import door_of, slack_settings
from support.slack_server import FakeSlack, click, command, message, slack_server

from tests.flows.conftest import OpenDesk

DIRECT = "D0ALICE01"


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with slack_server() as server:
        yield server


async def test_envelopes_are_taken_in_and_acknowledged(slack: FakeSlack, open_desk: OpenDesk) -> None:
    async with open_desk(**slack_settings(slack, socket=True)) as desk:
        await slack.until(lambda: slack.connected)
        event = message("over the socket")
        slack.send_envelope("e1", "events_api", event)
        await slack.until(lambda: "e1" in slack.acks)
        slack.send_envelope("e2", "events_api", event)
        await slack.until(lambda: "e2" in slack.acks)
        await slack.text("You said: over the socket")
        slack.send_envelope("e3", "slash_commands", command("status"))
        answer = await slack.until(lambda: slack.acks.get("e3"))
        assert answer["response_type"] == "ephemeral"
        assert "not connected" in json.dumps(answer)
        slack.send_envelope("e4", "interactive", click("connect", "google"))
        await slack.until(lambda: "e4" in slack.acks)
        await slack.text("GOOGLE_CLIENT_ID", DIRECT)
        slack.send_envelope("e5", "events_api", {**message("foreign"), "team_id": "T0OTHER01"})
        slack.send_envelope("e6", "events_api", {**message("last")})
        await slack.text("You said: last")
        assert "e5" not in slack.acks

        async with desk.runtime.database.across() as unit:
            runs = await unit.connection.exec_driver_sql("SELECT count(*) FROM runs")
            assert runs.scalar_one() == 2


async def test_a_socket_that_is_moved_or_cut_is_opened_again(slack: FakeSlack, open_desk: OpenDesk) -> None:
    slack.fault("apps.connections.open", status=429, retry_after=1)
    async with open_desk(**slack_settings(slack, socket=True)):
        await slack.until(lambda: slack.connected == 1)
        slack.move_sockets()
        await slack.until(lambda: slack.connected == 2)
        slack.cut_sockets()
        await slack.until(lambda: slack.connected == 3)
        slack.send_envelope("e1", "events_api", message("still there"))
        await slack.text("You said: still there")
        assert "e1" in slack.acks


async def test_a_conversation_and_its_card_outlive_a_restart_and_a_week(
    slack: FakeSlack, open_desk: OpenDesk, far_end: Loopback
) -> None:
    far_end.reset()
    settings = slack_settings(slack)
    call = {"name": "http_post", "args": {"target": "hook", "data": {"text": "once"}}}
    async with open_desk(**settings) as desk, door_of(desk.runtime) as door:
        await door.say(message("remember me"))
        await slack.text("You said: remember me")
        target = {"name": "hook", "url": f"{far_end.url}/hook?", "approval": "ask", "idempotent": True}
        async with desk.runtime.database.across() as unit:
            await unit.connection.exec_driver_sql(
                "UPDATE conversations SET targets = $1::text::jsonb", (json.dumps([target]),)
            )
        await door.say(message(script({"tools": [call]}, {"text": "It is posted."}, say="go")))
        card = await slack.text("May I use http_post?")
        value = card.buttons["approve"]["value"]  # the card is edited as soon as it is decided
    async with open_desk(**settings) as desk, door_of(desk.runtime) as door:
        async with desk.runtime.database.across() as unit:
            await unit.connection.exec_driver_sql("UPDATE app_clock SET offset_by = interval '7 days'")
        try:
            for _ in range(3):
                await door.click(click("approve", value, ts=card.ts))
            await slack.text("It is posted.")
            await slack.until(lambda: slack.messages[DIRECT, card.ts].edits)
            await door.say(message("and now?"))
            await slack.text("You said: and now?")
            rows = await door.rows("SELECT count(DISTINCT conversation_id), count(*) FROM runs")
            assert tuple(rows[0]) == (1, 3)
            entries = await desk.entries((await door.rows("SELECT DISTINCT conversation_id FROM runs"))[0][0])
            assert "remember me" in json.dumps([entry.message for entry in entries])
        finally:
            async with desk.runtime.database.across() as unit:
                await unit.connection.exec_driver_sql("UPDATE app_clock SET offset_by = interval '0'")
    assert len(far_end.get("/_log")["entries"]) == 1
