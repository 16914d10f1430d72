"""From a task to its mail, its Slack message and its webhook, through a worker with nothing but settings."""

import asyncio
import ssl
from pathlib import Path
from typing import Any
from uuid import UUID

from support.certificates import certificate
from support.far_inbox import FarInbox, MailRoom, far_inbox, mail_server

from app.models.delivery import ENDED, Delivery
from app.services import deliveries, events
from tests.flows.conftest import Desk, OpenDesk


async def told(desk: Desk, run_id: UUID, count: int) -> list[Delivery]:
    """The run's deliveries, the first one first, as soon as that many have ended."""
    async with asyncio.timeout(15):
        while True:
            async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
                rows = await deliveries.page(unit, desk.owner, limit=50, after=None, run_id=run_id)
            if sum(row.status in ENDED for row in rows) >= count:
                return rows[::-1]
            await asyncio.sleep(0.02)


def variables(far: FarInbox, mails: MailRoom, folder: Path) -> dict[str, str]:
    return {
        "SMTP_HOST": "localhost",
        "SMTP_PORT": str(mails.port),
        "SMTP_USERNAME": "sixlane",
        "SMTP_PASSWORD": "open sesame",
        "SMTP_FROM_EMAIL": "robot@sixlane.example",
        "SMTP_TLS_CA_FILE": str(folder / "cert.pem"),
        "SLACK_WEBHOOK_URL": f"{far.url}/services/T/B/x",
        "OUTBOUND_ALLOW_HOSTS": far.netloc,
        "PUBLIC_URL": "http://localhost:8000",
    }


async def test_a_run_is_told_over_every_channel_that_its_task_names(open_desk: OpenDesk, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(tmp_path, "localhost"))
    with mail_server(MailRoom(), context) as mails, far_inbox() as far:
        async with open_desk(**variables(far, mails, tmp_path)) as desk:
            config: dict[str, Any] = {
                "channels": ["email", "slack", "webhook"],
                "email_address": "user@example.com",
                "webhook_url": f"{far.url}/hook",
            }
            run = await desk.delegate({"text": "All is **well**."}, notification_config=config, title="Report")
            rows = await told(desk, run.id, 3)
    assert [(row.channel, row.status) for row in rows] == [("email", "sent"), ("slack", "sent"), ("webhook", "sent")]
    (mail,) = mails.mails
    assert (mail["Subject"], mail["To"]) == ("Report: done", "user@example.com")
    assert f"http://localhost:8000/runs/{run.id}" in next(mail.iter_parts()).get_content()
    posts = {post.path: post.json for post in far.posts}
    assert set(posts) == {"/services/T/B/x", "/hook"}
    assert posts["/hook"]["data"]["result"] == "All is **well**."


async def test_people_are_told_that_a_run_waits_and_then_what_it_came_to(open_desk: OpenDesk) -> None:
    with far_inbox() as far:
        async with open_desk(OUTBOUND_ALLOW_HOSTS=far.netloc) as desk:
            call = {"name": "http_post", "args": {"target": "crm", "data": {"note": "hello"}}}
            run = await desk.delegate(
                {"tools": [call]},
                {"text": "Posted."},
                targets=[{"name": "crm", "url": f"{far.url}/crm", "approval": "ask"}],
                notification_config={"channels": ["webhook"], "webhook_url": f"{far.url}/hook"},
            )
            (waiting,) = await told(desk, run.id, 1)
            (asked,) = [post.json for post in far.posts if post.path == "/hook"]
            (approval_id,) = asked["data"]["approval_ids"]
            await desk.decide(UUID(approval_id), "approve")
            rows = await told(desk, run.id, 2)
            async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
                shown = [one.event for one in (await events.page(unit, run.id, 0, 100))[0]]
    assert [row.event for row in rows] == ["run.waiting", "run.completed"]
    assert waiting.status == "sent"
    (updated,) = [one for one in shown if one["type"] == "delivery.updated"]
    assert (updated["delivery_id"], updated["channel"], updated["status"]) == (str(waiting.id), "webhook", "sent")
    types = [one["type"] for one in shown]
    assert types.index("run.waiting") < types.index("delivery.updated") < types.index("approval.decided")
    assert types[-1] == "run.completed", "what became of the message about the end comes after it"
    assert [one["seq"] for one in shown] == list(range(1, len(shown) + 1))
    assert len({post.headers["webhook-id"] for post in far.posts if post.path == "/hook"}) == 2


async def test_without_mail_and_slack_the_messages_are_in_the_dev_inbox(desk: Desk) -> None:
    config = {"channels": ["email", "slack"], "email_address": "user@example.com"}
    run = await desk.delegate({"text": "Done."}, notification_config=config)
    rows = await told(desk, run.id, 2)
    assert [(row.channel, row.status) for row in rows] == [("email", "inbox"), ("slack", "inbox")]
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        shown = await deliveries.detail(unit, rows[0], base_url=None)
    assert shown.preview.subject
    assert "Done." in (shown.preview.html or "")
