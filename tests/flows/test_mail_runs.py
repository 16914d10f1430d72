"""Runs with a mailbox: connected or not, tokens that end halfway, mails that wait for a person, two people at once."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from flows.conftest import Desk, OpenDesk
from sqlalchemy import text
from support.gmail_box import Box
from support.loopback import Loopback
from support.post import Post, link, post_office

from app.models.connection import MAIL_SCOPES, MailScope
from app.models.ids import new_id
from app.models.run import Run

LETTER = {"to": ["bob@example.com"], "subject": "Hello", "body": "How are you?"}


@pytest.fixture(scope="module")
def post() -> Iterator[Post]:
    with post_office() as opened:
        yield opened


@dataclass
class Office:
    """A runtime that knows Google, and people who are connected."""

    desk: Desk
    post: Post

    async def connect(self, person: str, *scopes: MailScope) -> Box:
        """Connect a person; an account of their own each time."""
        runtime, workspace = self.desk.runtime, self.desk.owner.workspace_id
        account = f"{person}-{new_id().hex[-8:]}@example.com"
        user_id = await self.user(person)
        await link(self.post, runtime.database, runtime.vault, workspace, user_id, account, scopes or MAIL_SCOPES)
        return self.post.box(account)

    async def user(self, person: str) -> UUID:
        """The id of a person."""
        if person == "owner":
            assert self.desk.owner.user_id is not None
            return self.desk.owner.user_id
        async with self.desk.runtime.database.begin(self.desk.owner.workspace_id) as unit:
            return (await unit.users.see(person)).id

    async def ended(self, run: Run) -> Run:
        """The run, when nothing goes on with it any more."""
        while True:
            async with self.desk.runtime.database.begin(run.workspace_id) as unit:
                found = await unit.runs.get(run.id)
            assert found is not None
            if found.status not in ("queued", "running"):
                return found
            await asyncio.sleep(0.02)

    async def approvals(self, run: Run) -> list[Any]:
        """What the run waits for."""
        async with self.desk.runtime.database.begin(run.workspace_id) as unit:
            return await unit.approvals.of_run(run.id, status="pending")

    async def results(self, run: Run) -> list[Any]:
        """What its tool calls came to."""
        return [call.result for call in await self.desk.journal(run.id)]

    async def rows_with(self, word: str) -> dict[str, list[str]]:
        """Every row of the ledger that holds a word, by table."""
        found: dict[str, list[str]] = {}
        async with self.desk.runtime.database.across() as across:
            tables = await across.connection.execute(
                text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
            )
            for (table,) in tables.all():
                rows = await across.connection.execute(
                    text(f'SELECT to_jsonb(t)::text FROM "{table}" t WHERE to_jsonb(t)::text LIKE :word'),
                    {"word": f"%{word}%"},
                )
                found[table] = [row[0] for row in rows]
        return {table: rows for table, rows in found.items() if rows}


@pytest.fixture
async def office(open_desk: OpenDesk, post: Post) -> AsyncGenerator[Office]:
    post.reset()
    async with open_desk(**post.google.variables()) as desk:
        yield Office(desk, post)


def use(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"name": tool, "args": arguments}


async def test_nobody_is_connected_and_the_answer_says_so(office: Office) -> None:
    run = await office.desk.delegate({"tools": [use("mail_search")]}, {"text": "Connect first."})
    assert (await office.ended(run)).status == "completed"
    [result] = await office.results(run)
    assert result["status"] == "not_connected"
    assert "Connect" in result["say"]


async def test_what_was_not_allowed_is_named(office: Office) -> None:
    box = await office.connect("owner", "read")
    run = await office.desk.delegate({"tools": [use("mail_draft", **LETTER)]}, {"text": "Ask for more."})
    assert (await office.ended(run)).status == "completed"
    [result] = await office.results(run)
    assert (result["status"], result["missing"]) == ("not_connected", ["draft"])
    assert box.account in result["say"]


async def test_without_google_there_are_no_mail_tools(desk: Desk) -> None:
    run = await desk.delegate({"tools": [use("mail_search")]}, {"text": "There is none."})
    assert (await Office(desk, None).ended(run)).status == "completed"  # type: ignore[arg-type]
    assert await desk.journal(run.id) == []


async def test_a_mail_waits_for_a_person_and_leaves_once(office: Office) -> None:
    box = await office.connect("owner")
    conversation = await office.desk.conversation()
    run = await office.desk.say(conversation, {"tools": [use("mail_send", **LETTER)]}, {"text": "Sent."})
    assert (await office.ended(run)).status == "waiting"
    [approval] = await office.approvals(run)
    assert approval.tool == "mail_send"
    assert {name: approval.arguments[name] for name in LETTER} == LETTER
    assert approval.reason
    assert not office.post.gmail.sent
    await office.desk.decide(approval.id, "approve")
    assert (await office.ended(run)).status == "completed"
    [left] = office.post.gmail.sent
    assert (left.account, left.recipients, left.subject, left.body) == (
        box.account,
        ["bob@example.com"],
        "Hello",
        "How are you?",
    )


async def test_a_person_may_say_no_or_write_it_anew(office: Office) -> None:
    await office.connect("owner")
    conversation = await office.desk.conversation()
    run = await office.desk.say(conversation, {"tools": [use("mail_send", **LETTER)]}, {"text": "Not sent."})
    await office.ended(run)
    [approval] = await office.approvals(run)
    await office.desk.decide(approval.id, "deny", note="Not to Bob.")
    assert (await office.ended(run)).status == "completed"
    assert not office.post.gmail.sent
    run = await office.desk.say(conversation, {"tools": [use("mail_send", **LETTER)]}, {"text": "Sent."})
    await office.ended(run)
    [approval] = await office.approvals(run)
    await office.desk.decide(approval.id, "edit", arguments={**LETTER, "to": ["carol@example.com"]})
    await office.ended(run)
    for again in await office.approvals(run):  # an edited call is judged again
        await office.desk.decide(again.id, "approve")
        await office.ended(run)
    assert [left.recipients for left in office.post.gmail.sent] == [["carol@example.com"]]


async def test_a_draft_is_answered_with_and_sent(office: Office) -> None:
    box = await office.connect("owner")
    mail = box.receive("Lunch", "At noon?", sender="Bob <bob@example.com>")
    conversation = await office.desk.conversation()
    run = await office.desk.say(
        conversation,
        {"tools": [use("mail_read", mail_id=mail.id)]},
        {"tools": [use("mail_reply", message_id=mail.id, body="Yes.")]},
        {"text": "Drafted."},
    )
    assert (await office.ended(run)).status == "completed"
    [draft] = box.drafts
    letter = {"to": ["bob@example.com"], "subject": "Re: Lunch", "body": "Yes.", "draft_id": draft}
    run = await office.desk.say(conversation, {"tools": [use("mail_send", **letter)]}, {"text": "Sent."})
    await office.ended(run)
    [approval] = await office.approvals(run)
    assert "mail_read" in approval.taint
    await office.desk.decide(approval.id, "approve")
    assert (await office.ended(run)).status == "completed"
    assert [left.subject for left in office.post.gmail.sent] == ["Re: Lunch"]
    assert not box.drafts


@pytest.mark.parametrize(("decision", "leaves"), [("repeat", 1), ("happened", 0), ("skip", 0)])
async def test_what_nobody_knows_is_asked(office: Office, decision: str, leaves: int) -> None:
    box = await office.connect("owner")
    fault = office.post.gmail.fail("drafts/send", status=503)
    run = await office.desk.delegate(
        {"tools": [use("mail_send", **LETTER)]}, {"text": "Well."}, grants={"send_to": LETTER["to"]}
    )
    while fault.times:
        await asyncio.sleep(0.002)
    box.mails.pop(box.drafts.pop(next(iter(box.drafts))))  # somebody throws it away before it is tried again
    assert (await office.ended(run)).status == "waiting"
    [approval] = await office.approvals(run)
    assert approval.kind == "unknown_outcome"
    await office.desk.decide(approval.id, decision)
    assert (await office.ended(run)).status == "completed"
    assert len(office.post.gmail.sent) == leaves
    assert len(await office.results(run)) == 1


async def test_tokens_end_halfway_through_two_calls(office: Office, model: Loopback) -> None:
    box = await office.connect("owner")
    mails = [box.receive(f"Mail {n}", f"body {n}") for n in range(2)]
    run = await office.desk.delegate(
        {"tools": [use("mail_search")]},
        {"tools": [use("mail_read", mail_id=mail.id) for mail in mails], "hold_s": 10},
        {"text": "Read."},
        mark="halfway",
    )
    await asyncio.to_thread(model.wait, "marker=halfway&step=1")
    office.post.google.expire()
    refused = office.post.gmail.refused
    await asyncio.to_thread(model.release, "halfway")
    assert (await office.ended(run)).status == "completed"
    assert office.post.google.counts["refresh_token"] == 1
    assert office.post.gmail.refused > refused
    _, *read = await office.results(run)
    assert sorted("body 0" in str(one) for one in read) == [False, True]


async def test_a_withdrawn_permission_ends_the_run(office: Office, model: Loopback) -> None:
    box = await office.connect("owner")
    run = await office.desk.delegate(
        {"tools": [use("mail_search")]}, {"tools": [use("mail_search")], "hold_s": 10}, {"text": "?"}, mark="withdrawn"
    )
    await asyncio.to_thread(model.wait, "marker=withdrawn&step=1")
    office.post.google.withdraw(box.account)
    await asyncio.to_thread(model.release, "withdrawn")
    ended = await office.ended(run)
    assert (ended.status, ended.status_reason) == ("failed", "reconnect_needed")
    async with office.desk.runtime.database.begin(run.workspace_id) as unit:
        row = await unit.connections.of_user(run.user_id)
    assert row is not None
    assert (row.status, row.sealed_access, row.sealed_refresh) == ("reconnect_needed", None, None)


async def test_two_people_see_only_their_own(office: Office, capfd: pytest.CaptureFixture[str]) -> None:
    word = f"zebra{new_id().hex}"
    ada, bob = await office.connect("ada"), await office.connect("bob")
    own = ada.receive("Of Ada", "hers", sender="x@example.com")
    secret = bob.receive(f"{word} subject", f"{word} body", sender=f"{word}@example.com")

    def work(first: str) -> tuple[dict[str, Any], ...]:
        # each also asks for the other's mail, by its true id
        reads = [use("mail_read", mail_id=one) for one in (first, own.id, secret.id)]
        threads = [use("mail_read", mail_id=one, whole_thread=True) for one in (own.id, secret.id)]
        label = use("mail_label", mail_ids=[own.id, secret.id], actions=["mark_read"])
        reply = use("mail_reply", message_id=secret.id, body="who?")
        return (
            {"tools": [use("mail_search", query="")]},
            {"tools": reads},
            {"tools": threads},
            {"tools": [label, reply]},
            {"text": "Done."},
        )

    runs_of_ada = [await office.desk.delegate(*work(own.id), user_id="ada") for _ in range(3)]
    runs_of_bob = [await office.desk.delegate(*work(secret.id), user_id="bob") for _ in range(3)]
    ended = await asyncio.gather(*(office.ended(run) for run in (*runs_of_ada, *runs_of_bob)))
    assert {run.status for run in ended} == {"completed"}, [(run.status, run.status_detail) for run in ended]
    for run in runs_of_bob:
        assert word in json.dumps(await office.results(run))
    found = await office.rows_with(word)
    assert "tool_calls" in found  # the search does find what is there
    strangers = [await office.user("ada"), *(one for run in runs_of_ada for one in (run.id, run.conversation_id))]
    for table, rows in found.items():
        for row in rows:
            assert not [one for one in strangers if str(one) in row], f"{table}: {row}"
    asked = {what for account, what in office.post.gmail.asked if account == ada.account}
    assert f"GET messages/{secret.id}" in asked  # it was asked for, in her own mailbox, where it is not
    out, err = capfd.readouterr()
    assert word not in out + err
