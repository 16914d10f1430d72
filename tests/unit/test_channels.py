"""The forms that channels give a message, and what in it must not act there."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app import channels
from app.channels import CHANNELS, form_of
from app.channels.slack import MOST_TEXT
from app.database import models as tables
from app.integrations.http import OutboundGuard
from app.integrations.posting import MOST_WAIT, retry_after, snippet
from app.models.delivery import RETRY_SECONDS, Attempt, Delivery, Message, Outcome
from app.models.errors import InvalidInput
from app.models.ids import new_id
from app.models.notification import NotificationConfig
from app.services.courier import verdict_of
from app.services.deliveries import masked
from app.services.notifications import check
from app.services.rendering import filled

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def message(
    markdown: str = "Fine.", subject: str = "Report: done", url: str | None = "https://s.example/runs/1"
) -> Message:
    return Message(new_id(), "key", "run.completed", AT, subject, markdown, {"run_id": "1"}, url)


def test_every_channel_is_in_the_tuple() -> None:
    folder = Path(channels.__file__).parent
    there = {path.stem for path in folder.glob("*.py")} - {"__init__", "channel"}
    assert there == {channel.name for channel in CHANNELS}


@pytest.mark.parametrize(("table", "shape"), [(tables.deliveries, Delivery), (tables.delivery_attempts, Attempt)])
def test_rows_have_the_columns_of_their_table(table: Any, shape: type) -> None:
    assert sorted(column.name for column in table.columns) == sorted(field.name for field in dataclasses.fields(shape))


def test_nothing_in_a_slack_message_calls_people_or_hides_a_link() -> None:
    text = "<!channel> <@U123> <https://evil.example|bank> &amp; a > b"
    body = form_of("slack", message(text, subject="<!here>\nnow")).body
    assert body is not None
    block = body["blocks"][0]
    assert "<" not in str(body)
    assert "&lt;!channel&gt; &lt;@U123&gt;" in block["text"]
    assert "&amp;amp;" in block["text"]
    assert body["text"] == "&lt;!here&gt; now"
    assert (body["unfurl_links"], body["unfurl_media"]) == (False, False)


@pytest.mark.parametrize("filler", ["x", "&", "<", "é"])
def test_a_long_slack_message_is_cut_and_leads_on(filler: str) -> None:
    body = form_of("slack", message(filler * 30_000)).body
    assert body is not None
    text = body["blocks"][0]["text"]
    assert len(text) <= MOST_TEXT
    assert text.endswith("…\n\nhttps://s.example/runs/1")
    assert text[: -len("…\n\nhttps://s.example/runs/1")].endswith((filler, ";"))


def test_a_mail_runs_nothing_and_fetches_nothing() -> None:
    evil = (
        '<script>x()</script> <img src="https://t.example/a.png"> ![p](https://t.example/b.png) '
        "[a](javascript:alert(1)) [b](data:text/html;base64,xx) [c](https://ok.example)"
    )
    html = form_of("email", message(evil)).html
    assert html is not None
    assert "<script" not in html
    assert "<img" not in html
    assert "<link" not in html
    assert 'href="javascript' not in html
    assert 'href="data' not in html
    assert 'href="https://ok.example"' in html
    assert "<style" not in html


def test_a_webhook_says_type_time_and_data() -> None:
    assert form_of("webhook", message()).body == {
        "type": "run.completed",
        "timestamp": "2026-11-21T09:00:00Z",
        "data": {"run_id": "1"},
    }


def test_only_known_names_are_filled_in_and_only_once() -> None:
    values = {"title": "{{result}}", "result": "{{title}}"}
    assert filled("{{title}}|{{ result }}|{{status}}", values) == "{{result}}|{{title}}|"
    for literal in ("{{7*7}}", "{0.__class__}", "${x}", "{{ title.upper() }}", "{{self}}", "{%x%}", "{{{title"):
        assert filled(literal, values) == literal


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("999999999", MOST_WAIT),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("1e9", None),
        ("٣", None),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", MOST_WAIT),
    ],
)
def test_how_long_a_receiver_asks_to_wait(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds


def test_a_foreign_answer_can_be_stored() -> None:
    assert snippet("a\x00b\ud800c" + "x" * 1000) == "a\ufffdb\ufffdc" + "x" * 495


def test_tries_follow_the_published_intervals() -> None:
    waits = [verdict_of(Outcome("retry"), number) for number in range(1, len(RETRY_SECONDS) + 1)]
    for verdict, due in zip(waits, RETRY_SECONDS[1:], strict=False):
        assert verdict.status == "pending"
        assert due <= verdict.wait <= due * 1.1
    assert waits[-1].status == "dead"
    assert verdict_of(Outcome("retry", after=900.0), 1).wait == 900.0
    assert verdict_of(Outcome("failed", reason="gone"), 1).status == "failed"


def test_a_target_shows_where_it_leads_and_not_how_to_post_there() -> None:
    assert masked("webhook", "https://u:p@hooks.example:8443/secret?token=1") == "https://hooks.example:8443/…"
    assert masked("slack", "https://hooks.slack.com/services/T/B/secret") == "https://hooks.slack.com/…"
    assert masked("slack", "#reports") == "#reports"
    assert masked("slack", "") == "default"
    assert masked("email", "user@example.com") == "user@example.com"


REFUSED: list[dict[str, Any]] = [
    {"channels": ["email"], "email_address": "a@b.example, c@d.example"},
    {"channels": ["email"], "email_address": "A <a@b.example>"},
    {"channels": ["email"], "email_address": "a@b.example\r\nBcc: c@d.example"},
    {"channels": ["email"], "email_address": "a@[127.0.0.1]"},
    {"channels": ["email"], "email_address": "a\u200b@b.example"},
    {"channels": ["slack"], "fallback": "email"},
    {"channels": ["slack"], "fallback": "slack"},
    {"channels": ["slack"], "slack_webhook_url": "https://hooks.slack.com/a", "slack_channel": "#a"},
    {"channels": ["slack"], "slack_channel": "#a b"},
    {"channels": ["slack"], "slack_channel": "<!channel>"},
    {"channels": ["slack"], "notify_on": ["success", "success"]},
    {"channels": ["slack"], "notify_on": ["always"]},
    {"channels": ["slack"], "templates": {"fax": {"body": "x"}}},
    {"channels": ["slack"], "templates": {"slack": {"body": "x", "subject": "a\nb"}}},
    {"channels": ["slack"], "digest": {"every_seconds": 1}},
]


@pytest.mark.parametrize("config", REFUSED)
def test_what_a_task_may_not_ask_for(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NotificationConfig.model_validate(config)


@pytest.mark.parametrize(
    "config",
    [
        {"slack_webhook_url": "https://evil.example/services/T"},
        {"slack_webhook_url": "http://hooks.slack.com/services/T"},
        {"slack_webhook_url": "https://hooks.slack.com@evil.example/"},
        {"slack_webhook_url": "https://[hooks.slack.com/"},
        {"slack_webhook_url": "http://127.0.0.1:9/"},
        {"webhook_url": "https://127.0.0.1/"},
        {"webhook_url": "https://[::ffff:127.0.0.1]/"},
        {"webhook_url": "https://[64:ff9b::7f00:1]/"},
        {"webhook_url": "http://example.com/"},
    ],
)
def test_targets_that_are_not_open(config: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        check(NotificationConfig.model_validate(config), OutboundGuard())


def test_an_operator_opens_targets_by_host_and_port() -> None:
    guard = OutboundGuard(["127.0.0.1:9"])
    for name in ("slack_webhook_url", "webhook_url"):
        check(NotificationConfig.model_validate({name: "http://127.0.0.1:9/x"}), guard)
        with pytest.raises(InvalidInput):
            check(NotificationConfig.model_validate({name: "http://127.0.0.1:10/x"}), guard)
