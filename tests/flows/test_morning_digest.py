"""A digest of a person's mail with nobody there, by the clock and by a webhook; what such runs may send."""

import ssl
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.certificates import certificate
from support.far_inbox import FarInbox, MailRoom, far_inbox, mail_server
from support.gmail_box import Box
from support.post import Post, link, post_office

from app.models.ids import new_id
from app.models.task import Task
from app.services.launch import Launch, begin
from tests.flows.conftest import Desk, OpenDesk
from tests.flows.test_notified import told, variables
from tests.flows.test_standing_orders import ended, fire_at, order

LETTER = {"subject": "Digest", "body": "One mail."}
READ = {"tools": [{"name": "mail_search", "args": {"query": "is:unread"}}]}
SAY = {"text": "One unread mail: the **invoice**."}
TOLD = {"channels": ["email", "slack"], "email_address": "user@example.com"}


@pytest.fixture(scope="module")
def post() -> Iterator[Post]:
    with post_office() as opened:
        yield opened


class Morning:
    """A desk that knows Google, a mail server and Slack, and the owner's mailbox with one unread mail."""

    def __init__(self, desk: Desk, post: Post, box: Box, mails: MailRoom, far: FarInbox) -> None:
        self.desk, self.post, self.box, self.mails, self.far = desk, post, box, mails, far

    async def after(self, task: Task) -> Any:
        """The task's first run, once both channels have told of it."""
        [run] = await ended(self.desk, task, 1)
        rows = await told(self.desk, run.id, 2)
        assert [row.status for row in rows] == ["sent", "sent"], rows
        return run


@pytest.fixture
async def morning(open_desk: OpenDesk, post: Post, tmp_path: Path) -> AsyncGenerator[Morning]:
    post.reset()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(tmp_path, "localhost"))
    with mail_server(MailRoom(), context) as mails, far_inbox() as far:
        settings = {**variables(far, mails, tmp_path), **post.google.variables()}
        async with open_desk(**settings) as desk:
            account = f"owner-{new_id().hex[-8:]}@example.com"
            runtime, owner = desk.runtime, desk.owner
            assert owner.user_id is not None
            await link(post, runtime.database, runtime.vault, owner.workspace_id, owner.user_id, account)
            box = post.box(account)
            box.receive("Invoice 4711", "Please pay.", sender="billing@example.com")
            yield Morning(desk, post, box, mails, far)


async def results(desk: Desk, run: Any) -> list[Any]:
    return [call.result for call in await desk.journal(run.id)]


async def test_by_the_clock_it_reads_and_is_delivered(morning: Morning) -> None:
    desk = morning.desk
    schedule = {"cron": "0 8 * * 1-5", "timezone": "Europe/Berlin"}
    task = await order(desk, READ, SAY, schedule=schedule, agent="assistant", notification_config=TOLD)
    await fire_at(desk, "7 days")
    run = await morning.after(task)
    assert (run.status, run.trigger) == ("completed", "schedule")
    [found] = await results(desk, run)
    assert "Invoice 4711" in str(found)
    (mail,) = morning.mails.mails
    assert "invoice" in next(mail.iter_parts()).get_content()
    assert any("invoice" in str(post.json) for post in morning.far.posts)
    assert morning.post.gmail.sent == []


@pytest.mark.parametrize("granted", [False, True])
async def test_it_sends_only_to_recipients_that_the_task_lists(morning: Morning, granted: bool) -> None:
    desk = morning.desk
    send = {"tools": [{"name": "mail_send", "args": {"to": ["team@example.com"], **LETTER}}]}
    grants = {"send_to": ["team@example.com"] if granted else ["other@example.com"]}
    task = await order(
        desk, READ, send, SAY, schedule={"every": "1d"}, agent="assistant", notification_config=TOLD, grants=grants
    )
    await fire_at(desk, "1 day 1 second")
    run = await morning.after(task)
    assert run.status == "completed"
    assert len(morning.post.gmail.sent) == granted
    said = str([entry.message for entry in await desk.entries(run.conversation_id)])
    assert ("grants.send_to" in said) is not granted


async def test_a_webhook_reads_the_same_mailbox(morning: Morning) -> None:
    desk = morning.desk
    task = await order(desk, READ, SAY, task_type="triggered", agent="assistant", notification_config=TOLD)
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        await begin(unit, [Launch(task, "webhook", "webhook", taint=("webhook",))])
    run = await morning.after(task)
    assert run.status == "completed"
    assert "Invoice 4711" in str(await results(desk, run))
    assert "mail" in " ".join(run.taint)
