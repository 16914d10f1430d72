"""What is shown in Slack acts on nothing: escaping, links, cuts, cards and forms; and the words that are commands."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.models.approval import Approval
from app.models.slack import Bot, Place
from app.services.slack_cards import answer_parts, card, edited, editing, progress, verdict
from app.services.slack_commands import WORDS, command_of
from app.services.slack_payloads import readable, run_id_of, said_in

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def approval(**more: Any) -> Approval:
    base: dict[str, Any] = dict.fromkeys(
        ("reason", "decision", "decided_arguments", "note", "decided_by", "decided_at")
    )
    base |= {name: uuid4() for name in ("workspace_id", "id", "run_id", "conversation_id", "user_id")}
    base |= {"kind": "tool_call", "status": "pending", "tool": "mail_send", "tool_call_id": "c1", "step": 0}
    base |= {"arguments": {"to": ["a@example.com"], "body": "Hello"}, "arguments_hash": "", "taint": []}
    return Approval(**{**base, "expires_at": NOW, "created_at": NOW, **more})


def text_of(part: dict[str, Any]) -> str:
    return "\n".join(block["text"] for block in part["blocks"] if block["type"] == "markdown")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("<!channel> <@U1> <!here|x>", "&lt;!channel&gt; &lt;@U1&gt; &lt;!here|x&gt;"),
        ("[Your bank](https://evil.example/?q=1)", "Your bank (https://evil.example/?q=1)"),
        ("![pixel](https://evil.example/p.png?d=secret)", "pixel (https://evil.example/p.png?d=secret)"),
        ('[a](https://x.example "Your bank")', "a (https://x.example)"),
        ("", "_(no text)_"),
    ],
)
def test_answers_act_on_nothing(said: str, shown: str) -> None:
    (part,) = answer_parts(said)
    assert text_of(part) == shown
    assert "<" not in part["text"]


def test_long_answers_are_cut_where_it_reads_well_and_lose_nothing() -> None:
    words = [f"w{number}" for number in range(9_000)]
    parts = answer_parts(" ".join(words))
    assert all(len(text_of(part)) <= 12_000 for part in parts)
    assert [word for part in parts for word in text_of(part).split()] == words
    solid = answer_parts("&" * 40_000)
    assert "".join(text_of(part) for part in solid) == "&amp;" * 40_000
    assert all(len(text_of(part)) <= 12_000 and text_of(part).endswith(";") for part in solid)


def test_a_code_block_that_is_cut_is_closed_and_opened_again() -> None:
    code = "\n".join(f"line {number}" for number in range(3_000))
    for part in answer_parts(f"```\n{code}\n```"):
        assert text_of(part).count("```") % 2 == 0


def test_a_card_shows_everything_or_offers_nothing() -> None:
    whole = card(
        approval(arguments={"to": ["x@example.com"], "body": "b" * 9_000}, taint=["mail"], reason="You asked.")
    )
    shown = json.dumps(whole)
    assert shown.count("b" * 2_000) >= 3
    assert "x@example.com" in shown
    assert "You asked." in shown
    assert "mail" in shown
    assert all(len(block["text"]["text"]) <= 3_000 for block in whole["blocks"] if block["type"] == "section")
    assert all(block["text"]["type"] == "plain_text" for block in whole["blocks"] if block["type"] == "section")
    assert len(whole["blocks"]) <= 50
    endless = card(approval(arguments={"body": "b" * 500_000}))
    assert "approve" not in json.dumps(endless)
    assert len(endless["blocks"]) <= 50


def test_a_button_carries_an_id_and_nothing_else() -> None:
    one = approval(arguments={"secret": "s3cr3t"})
    (actions,) = [block for block in card(one)["blocks"] if block["type"] == "actions"]
    assert {element["value"] for element in actions["elements"]} == {str(one.id)}
    unknown = card(approval(kind="unknown_outcome"))
    (actions,) = [block for block in unknown["blocks"] if block["type"] == "actions"]
    assert [element["action_id"] for element in actions["elements"]] == ["happened", "repeat", "skip"]


@pytest.mark.parametrize(
    ("settled", "says"),
    [
        ({"status": "approved", "decision": "approve"}, "Approved."),
        ({"status": "denied", "decision": "deny", "note": "No."}, "Note: No."),
        ({"status": "expired"}, "Nobody decided in time"),
        ({"status": "superseded"}, "No longer needed"),
        ({"status": "resolved", "decision": "skip"}, "it is skipped"),
    ],
)
def test_a_verdict_has_no_buttons(settled: dict[str, Any], says: str) -> None:
    part = verdict(approval(**settled))
    assert says in json.dumps(part)
    assert "actions" not in {block["type"] for block in part["blocks"]}


def test_a_form_gives_back_what_it_was_filled_with() -> None:
    one = approval(arguments={"to": ["a@example.com"], "body": "Hello\nyou", "cc": None, "n": 3})
    view = editing(one)
    assert view is not None
    filled = {block["block_id"]: block["element"]["initial_value"] for block in view["blocks"]}
    assert edited(one, filled) == (one.arguments, {})
    assert edited(one, {**filled, "arg:body": None, "arg:n": "x"}) == (
        {"to": ["a@example.com"], "body": "", "cc": None},
        {"arg:n": "This must be JSON."},
    )
    assert editing(approval(arguments={"body": "b" * 3_001})) is None
    assert editing(approval(arguments={})) is None


def test_a_picture_of_work_stays_within_a_message() -> None:
    part = progress(uuid4(), "&<>" * 10_000, "Thinking …")
    assert len(text_of(part)) <= 12_000


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("hello", ("hello", "")),
        ("  HELP! ", ("hello", "")),
        ("/sixlane status", ("status", "")),
        ("chat how are you", ("chat", "how are you")),
        ("chat", ("chat", "")),
        ("status of the project?", ("chat", "status of the project?")),
        ("revoke it", ("chat", "revoke it")),
        ("", ("chat", "")),
        ("hello\nthere", ("chat", "hello\nthere")),
    ],
)
def test_only_a_word_by_itself_is_a_command(text: str, command: tuple[str, str]) -> None:
    assert command_of(text) == command


def test_slacks_markup_is_read_as_text() -> None:
    said = "see <https://a.example/x?y=1|this>, write <mailto:b@c.example|b@c.example> &lt;now&gt; &amp;amp;"
    assert readable(said) == "see https://a.example/x?y=1, write b@c.example <now> &amp;"


def test_a_run_is_as_old_as_its_message() -> None:
    import time

    at = time.time()
    ids = [run_id_of(f"{at + step / 1000:.6f}") for step in range(50)]
    assert ids == sorted(ids)
    assert {one.version for one in ids} == {7}
    assert len(set(ids)) == 50
    for odd in ("", "x", "1.5", "99999999999.000000", "0000000001.000000"):
        assert run_id_of(odd).version == 7


def test_a_thread_has_its_place() -> None:
    bot = Bot("T1", "U0BOT")
    event = {"type": "message", "channel": "C1", "channel_type": "channel", "user": "U1", "ts": "1.000001", "text": "x"}
    said = said_in({"event_id": "E1", "event": event}, bot)
    assert said is not None
    assert (said.place, said.addressed) == (Place("T1", "C1", "1.000001"), False)
    direct = said_in({"event": {**event, "channel": "D1", "channel_type": "im", "thread_ts": "0.5"}}, bot)
    assert direct is not None
    assert (direct.place, direct.addressed) == (Place("T1", "D1", "0.5", direct=True), True)


def test_the_manifest_has_every_door_and_word() -> None:
    manifest = json.loads((ROOT / "docs" / "slack-manifest.json").read_text())
    (command,) = manifest["features"]["slash_commands"]
    assert {"hello", "auth", "status", "revoke"} <= set(WORDS)
    assert all(word in command["usage_hint"] for word in ("hello", "auth", "status", "chat", "revoke"))
    settings = manifest["settings"]
    doors = (command["url"], settings["event_subscriptions"]["request_url"], settings["interactivity"]["request_url"])
    assert [door.rpartition("/slack/")[2] for door in doors] == ["commands", "events", "interactions"]
    bot = manifest["oauth_config"]["scopes"]["bot"]
    assert {"app_mentions:read", "chat:write", "commands", "im:history", "users:read", "users:read.email"} <= set(bot)
