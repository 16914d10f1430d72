"""The mailbox of a user against Gmail on loopback: finding, reading, drafting, sending once, labelling, refusals."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flows.conftest import Desk, OpenDesk
from support.post import Post, link, post_office

from app.agents.mail import MailBox, MailProblem
from app.agents.mail_message import outgoing
from app.agents.tool import OutcomeUnknown
from app.models.connection import NotConnected, ReconnectNeeded
from app.models.errors import Transient
from app.models.ids import new_id
from app.models.run import Run
from app.runtime.google import google_options
from app.services.mailbox import Mailboxes

ADA = "ada@example.com"


@pytest.fixture(scope="module")
def post() -> Iterator[Post]:
    with post_office() as opened:
        yield opened


@dataclass
class Reader:
    """Ada's mailbox as runs of hers reach it."""

    desk: Desk
    post: Post
    mailboxes: Mailboxes
    run: Run

    @property
    def mail(self) -> MailBox:
        return self.mailboxes.of(self.run)

    def later(self) -> "Reader":
        """The same run in its next attempt."""
        return replace(self, run=replace(self.run, attempt=self.run.attempt + 2))

    def key(self, call: str = "call-1") -> str:
        return f"{self.run.id}:1:{call}"

    async def row(self, key: str) -> Any:
        async with self.desk.runtime.database.begin(self.run.workspace_id) as unit:
            return await unit.mail_sends.get(key)


@pytest.fixture
async def reader(open_desk: OpenDesk, post: Post) -> AsyncGenerator[Reader]:
    account = f"ada-{new_id().hex[-8:]}@example.com"
    post.reset()
    async with open_desk(**post.google.variables()) as desk:
        runtime, owner = desk.runtime, desk.owner
        run = await desk.delegate({"text": "nothing"})
        await link(post, runtime.database, runtime.vault, owner.workspace_id, run.user_id, account)
        mailboxes = Mailboxes(runtime.database, runtime.vault, google_options(runtime.settings))
        yield Reader(desk, post, mailboxes, run)
        mailboxes.close()


async def box_of(reader: Reader) -> Any:
    async with reader.desk.runtime.database.begin(reader.run.workspace_id) as unit:
        row = await unit.connections.of_user(reader.run.user_id)
    assert row is not None
    return reader.post.box(row.account)


HELLO = outgoing(["bob@example.com"], "Hello", "How are you?\nYours, Ada ☃")


async def test_mails_are_found_and_read(reader: Reader) -> None:
    box = await box_of(reader)
    first = box.receive("Lunch", "At noon?", sender="Bob <bob@example.com>", attachments=[("menu.pdf", b"1234")])
    box.receive("Re: Lunch", "x", html="<p>Yes <span style='display:none'>no</span></p>", thread=first.thread)
    box.receive("Other", "y", labels=["INBOX"])
    found = await reader.mail.search("is:unread", 10)
    assert [(one.subject, one.unread, one.has_attachments) for one in found] == [
        ("Re: Lunch", True, False),
        ("Lunch", True, True),
    ]
    assert found[1].sender == "Bob <bob@example.com>"
    assert found[1].thread == first.thread
    one = (await reader.mail.read(first.id)).letters[0]
    assert one.text == "At noon?"
    assert [(a.name, a.size) for a in one.attachments] == [("menu.pdf", 4)]
    thread = await reader.mail.read(found[0].id, whole_thread=True)
    assert [letter.text for letter in thread.letters] == ["At noon?", "Yes"]
    assert "Hidden text" in thread.letters[1].notes[0]
    with pytest.raises(MailProblem):
        await reader.mail.read("nothing-such")


async def test_long_threads_show_their_newest_mails(reader: Reader) -> None:
    box = await box_of(reader)
    first = box.receive("1", "a" * 3000)
    for number in range(2, 31):
        box.receive(str(number), "a" * 3000, thread=first.thread)
    reading = await reader.mail.read(first.thread, whole_thread=True)
    assert reading.letters[-1].subject == "30"
    assert sum(len(letter.text) for letter in reading.letters) <= 20_000
    assert reading.left_out == 30 - len(reading.letters)


async def test_a_monster_is_named_and_not_read(reader: Reader) -> None:
    box = await box_of(reader)
    deep: dict[str, Any] = {"mimeType": "text/plain", "body": {"data": "aGk"}}
    for _ in range(200):
        deep = {"mimeType": "multipart/mixed", "parts": [deep]}
    headers = [{"name": "Subject", "value": "Deep"}]
    too_deep = box.receive("Deep", payload={**deep, "headers": headers})
    parts = [{"mimeType": "text/plain", "body": {"data": "aGk"}}] * 50_000
    too_wide = box.receive("Wide", payload={"mimeType": "multipart/mixed", "headers": headers, "parts": parts})
    deepest: dict[str, Any] = {"mimeType": "text/plain"}
    for _ in range(400):
        deepest = {"mimeType": "multipart/mixed", "parts": [deepest]}
    for mail in (too_deep, too_wide):
        letter = (await reader.mail.read(mail.id)).letters[0]
        assert letter.text == ""
        assert "too complex" in letter.notes[0]
    assert len(await reader.mail.search("in:inbox", 5)) == 2


async def test_a_draft_stays_one_over_attempts(reader: Reader) -> None:
    box = await box_of(reader)
    draft = await reader.mail.draft(reader.key(), HELLO)
    again = await reader.later().mail.draft(reader.key(), HELLO)
    assert draft.id == again.id
    assert [mail.header("Subject") for mail in box.search("in:drafts")] == ["Hello"]
    assert not reader.post.gmail.sent


async def test_an_answer_stays_in_its_thread(reader: Reader) -> None:
    box = await box_of(reader)
    mail = box.receive(
        "Plan",
        "?",
        sender="Bob <bob@example.com>",
        headers={
            "Cc": "carol@example.com, bad",
            "Reply-To": "desk@example.com",
            "To": f"{box.account}, dan@example.com",
        },
    )
    draft = await reader.mail.reply(reader.key(), mail.id, "Yes.", to_all=True)
    assert draft.message.to == ("desk@example.com",)
    assert draft.message.cc == ("dan@example.com", "carol@example.com")
    assert draft.message.subject == "Re: Plan"
    assert await reader.mail.taking_part(draft.id) >= {"bob@example.com", "desk@example.com", "carol@example.com"}
    sent = await reader.mail.send(reader.key("call-2"), draft.message, draft.id)
    stored = box.mails[sent.id]
    assert stored.thread == mail.thread
    assert stored.header("In-Reply-To") == mail.header("Message-ID") == stored.header("References")
    assert box.search("in:drafts") == []
    alone = await reader.mail.reply(reader.key("call-3"), mail.id, "Only you.", to_all=False)
    assert alone.message.recipients == ("desk@example.com",)


async def test_a_mail_leaves_once(reader: Reader) -> None:
    sent = await reader.mail.send(reader.key(), HELLO, None)
    again = await reader.later().mail.send(reader.key(), HELLO, None)
    assert not sent.again
    assert again.again
    [left] = reader.post.gmail.sent
    assert (left.recipients, left.subject, left.body) == (["bob@example.com"], "Hello", HELLO.body)
    assert (await reader.row(reader.key())).status == "sent"


@pytest.mark.parametrize("where", ["drafts", "drafts/send", "GET /gmail/v1/users/me/drafts/"])
@pytest.mark.parametrize(
    "how", [{"status": 503}, {"cut": True}, {"status": 500, "after": True}, {"cut": True, "after": True}]
)
async def test_whatever_breaks_it_leaves_once(reader: Reader, where: str, how: dict[str, Any]) -> None:
    reader.post.gmail.fail(where, **how)
    here = reader
    for _ in range(4):
        try:
            await here.mail.send(here.key(), HELLO, None)
            break
        except Transient:
            here = here.later()
    assert len(reader.post.gmail.sent) == 1
    assert (await reader.row(reader.key())).status == "sent"


async def test_two_at_once_send_one(reader: Reader) -> None:
    """As when a worker was frozen over its lease and thaws beside the one that took its run."""
    reader.post.gmail.fail("drafts/send", status=0, seconds=0.2, times=2)
    results = await asyncio.gather(
        *(one.mail.send(reader.key(), HELLO, None) for one in (reader, reader.later())), return_exceptions=True
    )
    assert len(reader.post.gmail.sent) == 1
    assert not [one for one in results if isinstance(one, BaseException)], results


async def test_nobody_knows_and_a_person_is_asked(reader: Reader) -> None:
    box = await box_of(reader)
    reader.post.gmail.fail("drafts/send", times=9)
    with pytest.raises(Transient):
        await reader.mail.send(reader.key(), HELLO, None)
    [draft] = box.drafts
    del box.mails[box.drafts.pop(draft)]  # somebody throws the draft away in Gmail
    with pytest.raises(OutcomeUnknown):
        await reader.later().mail.send(reader.key(), HELLO, None)
    assert (await reader.row(reader.key())).status == "sending"
    assert not reader.post.gmail.sent


async def test_a_draft_that_was_changed_is_not_sent(reader: Reader) -> None:
    box = await box_of(reader)
    draft = await reader.mail.draft(reader.key(), HELLO)
    await reader.mail.send(reader.key("call-2"), replace(HELLO, body="Other words"), draft.id)
    assert [left.body for left in reader.post.gmail.sent] == ["Other words"]
    assert not box.drafts
    with pytest.raises(MailProblem, match="no such draft"):
        await reader.mail.send(reader.key("call-3"), HELLO, "r-nothing")
    assert (await reader.row(reader.key("call-3"))).status == "failed"


async def test_twenty_a_day(reader: Reader) -> None:
    for number in range(20):
        await reader.mail.send(reader.key(f"call-{number}"), HELLO, None)
    with pytest.raises(MailProblem, match="20 mails"):
        await reader.mail.send(reader.key("one-more"), HELLO, None)
    assert len(reader.post.gmail.sent) == 20


async def test_labels(reader: Reader) -> None:
    box = await box_of(reader)
    box.labels["Label_1"] = "Invoices"
    mail = box.receive("Bill", "1 EUR")
    done = await reader.mail.label([mail.id, mail.id], ["archive", "mark_read", "star"], ["invoices"])
    assert mail.labels == {"STARRED", "Label_1"}
    assert (done.count, list(done.added), list(done.removed)) == (1, ["STARRED", "Invoices"], ["INBOX", "UNREAD"])
    with pytest.raises(MailProblem, match="Invoices"):
        await reader.mail.label([mail.id], [], ["Nonsense"])
    with pytest.raises(MailProblem):
        await reader.mail.label([mail.id], ["archive", "to_inbox"], [])


async def test_what_google_refuses(reader: Reader) -> None:
    gmail, runtime = reader.post.gmail, reader.desk.runtime
    gmail.fail("messages", status=429, reason="rateLimitExceeded", retry_after=7)
    with pytest.raises(Transient) as caught:
        await reader.mail.search("x", 5)
    assert caught.value.retry_after == 7
    gmail.fail("messages", status=403, reason="userRateLimitExceeded")
    with pytest.raises(Transient):
        await reader.mail.search("x", 5)
    gmail.fail("messages", status=403, reason="accessNotConfigured")
    with pytest.raises(MailProblem):
        await reader.mail.search("x", 5)
    reader.post.google.expire()
    assert await reader.mail.search("x", 5) == []
    assert reader.post.google.counts["refresh_token"] == 1
    box = await box_of(reader)
    reader.post.google.withdraw(box.account)
    with pytest.raises(ReconnectNeeded):
        await reader.mail.search("x", 5)
    async with runtime.database.begin(reader.run.workspace_id) as unit:
        row = await unit.connections.of_user(reader.run.user_id)
    assert row is not None
    assert (row.status, row.sealed_access, row.sealed_refresh) == ("reconnect_needed", None, None)
    stranger = replace(reader.run, user_id=new_id())
    with pytest.raises(NotConnected):
        await reader.mailboxes.of(stranger).search("x", 5)
