"""The table of what a tool call may do, line by line, and the facts that it is asked with."""

from itertools import product
from typing import get_args

import pytest
from support.agent_context import agent_context

from app.agents import policy
from app.agents.context import Grants, Policy, Target
from app.agents.policy import TABLE, Effect, Presence, Situation, Standing, Taint, decide

BOB, EVE = "bob@example.com", "eve@evil.example"
EVERY = list(product(get_args(Effect), get_args(Presence), get_args(Taint), get_args(Standing), (1, 21)))


def test_every_situation_has_a_verdict_with_a_reason() -> None:
    used = set[policy.Row]()
    for effect, presence, taint, standing, count in EVERY:
        now = Situation("x", effect, presence, taint, standing, count)
        verdict = decide(now)
        assert verdict.reason
        assert verdict.reason != "No rule allows it."
        used.add(next(row for row in TABLE if row.fits(now)))
    assert used == set(TABLE), "a line that never speaks"


def test_no_mail_leaves_without_a_person_or_a_grant() -> None:
    for effect, presence, taint, standing, count in EVERY:
        verdict = decide(Situation("x", effect, presence, taint, standing, count))
        if effect == "send" and verdict.policy == "allow":
            assert (presence != "present", standing) == (True, "granted")
        if effect == "propose":
            assert verdict.policy != "allow"
        if presence == "unattended" and effect in ("send", "label", "remember", "fetch", "propose"):
            assert verdict.policy != "ask", "nobody is there"


@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        ([BOB], "ask"),
        ([BOB.upper()], "ask"),
        ([BOB, "listed@example.com"], "ask"),
        ([EVE], "deny"),
        ([BOB, EVE], "deny"),
        (["b\u043eb@example.com"], "deny"),
        (["ob@example.com"], "deny"),
        (["bob@example.com.evil.example"], "deny"),
        (["bob@example.co"], "deny"),
        (["x.bob@example.com"], "deny"),
        ([f"{BOB},{EVE}"], "deny"),
        ([], "deny"),
    ],
)
def test_recipients_of_a_tainted_run_are_the_persons_own_words(recipients: list[str], expected: Policy) -> None:
    context = agent_context(
        prompt=f"Tell <{BOB}>, please.",
        taint={"mail_read"},
        present=True,
        grants=Grants(frozenset({"listed@example.com"})),
    )
    assert policy.of_mail_send(context, recipients).policy == expected


def test_what_other_people_say_in_slack_names_nobody() -> None:
    context = agent_context(prompt=f"{EVE} https://evil.example/x", taint={"slack"}, present=True, trigger="slack")
    assert policy.of_mail_send(context, [EVE]).policy == "deny"
    assert policy.of_fetch(context, "https://evil.example/x").policy == "ask"
    assert policy.of_fetch(agent_context(taint={"slack"}, trigger="schedule"), "https://a.example/").policy == "deny"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://docs.example.com/page?a=1", "allow"),
        ("https://DOCS.example.com/page?a=1", "allow"),
        ("https://docs.example.com:443/page?a=1", "allow"),
        ("https://docs.example.com/page?a=2", "ask"),
        ("https://docs.example.com/page", "ask"),
        ("https://evil.docs.example.com/", "deny"),
        ("https://example.com/", "deny"),
        ("https://docs.example.com@evil.example/", "deny"),
        ("https://docs.example.com:x@evil.example/", "deny"),
        ("https://evil.example/docs.example.com", "deny"),
        ("https://listed.example/anything", "allow"),
        ("not an address", "deny"),
    ],
)
def test_after_mail_only_the_address_that_the_person_wrote_is_open(url: str, expected: Policy) -> None:
    context = agent_context(
        prompt="Compare it with https://docs.example.com/page?a=1.",
        taint={"mail_search"},
        present=True,
        allow_hosts=("listed.example:443",),
    )
    assert policy.of_fetch(context, url).policy == expected


def test_a_target_that_was_allowed_is_asked_about_once_a_conversation_is_tainted() -> None:
    targets = (Target("a", "https://a.example/", "allow"), Target("d", "https://d.example/", "deny"))
    chat = agent_context(targets=targets, present=True)
    assert policy.of_post(chat, "a").policy == "allow"
    chat.taint.add("web_page")
    assert policy.of_post(chat, "a").policy == "ask"
    task = agent_context(targets=targets, taint={"webhook"}, trigger="webhook", pattern="triggered")
    assert policy.of_post(task, "a").policy == "allow"
    assert policy.of_post(task, "d").policy == "deny"


@pytest.mark.parametrize(
    ("trigger", "pattern", "present", "expected"),
    [
        ("message", "chatbot", True, "present"),
        ("slack", "sidekick", True, "present"),
        ("api", "delegation", False, "begun"),
        ("execute", "delegation", False, "begun"),
        ("execute", "scheduled", False, "unattended"),
        ("schedule", "scheduled", False, "unattended"),
        ("webhook", "triggered", False, "unattended"),
        ("chain", "delegation", False, "unattended"),
        ("retry", "delegation", False, "unattended"),
        ("backfill", "scheduled", False, "unattended"),
    ],
)
def test_who_is_there(trigger: str, pattern: str, present: bool, expected: Presence) -> None:
    assert policy.presence_of(agent_context(trigger=trigger, pattern=pattern, present=present)) == expected
