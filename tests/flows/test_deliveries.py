"""Notifications over real connections: each arrives, tries keep their times, and nothing is blindly sent twice."""

import base64

import pytest
from standardwebhooks import Webhook
from support.far_inbox import FarInbox, far_inbox
from support.loopback import free_port
from support.notices import BASE, VAULT, Room, another, hook, means_of, open_room

from app.database.connection import Database
from app.integrations.slack import SlackOptions
from app.models.delivery import RETRY_SECONDS
from app.models.errors import Conflict
from app.services.deliveries import signing_secret


async def test_a_webhook_is_signed_and_known_by_its_id(room: Room, far: FarInbox) -> None:
    task = await room.task(hook(far))
    run = await room.tell(task, data={"total": 3}, text=None)
    await room.deliver()

    (post,), row = far.posts, await room.row()
    secret = "whsec_" + base64.b64encode(signing_secret(VAULT, task.workspace_id)).decode()
    told = Webhook(secret).verify(post.body, post.headers)
    assert post.headers["webhook-id"] == str(row.id)
    assert (told["type"], told["data"]["run_id"], told["data"]["result"]) == (
        "run.completed",
        str(run.id),
        {"total": 3},
    )
    assert told["data"]["url"] == f"{BASE}/runs/{run.id}"
    assert (row.status, row.attempts) == ("sent", 1)
    (attempt,) = await room.attempts(row.id)
    assert (attempt.outcome, attempt.code, attempt.snippet) == ("sent", "200", "ok")


async def test_a_second_settling_tells_nothing(room: Room, far: FarInbox) -> None:
    task = await room.task(hook(far))
    run = await room.tell(task)
    await room.again(task, run, None)
    await room.deliver()
    assert len(await room.rows()) == len(far.posts) == 1


async def test_a_receiver_that_is_down_for_an_hour_gets_each_message_once(
    database: Database,
) -> None:
    with far_inbox() as far:
        async with open_room(database, means_of(allow=[far.netloc], seconds=2)) as room:
            task = await room.task(hook(far))
            far.usual = (503, {}, "down")
            runs = [await room.tell(task) for _ in range(20)]
            for wait in RETRY_SECONDS[:4]:
                await room.later(wait * 1.1 + 1)
                await room.deliver()
            assert len(far.posts) == 20 * 4
            assert {row.status for row in await room.rows()} == {"pending"}
            far.posts.clear()
            far.usual = (200, {}, "up")
            await room.later(3600 * 3)
            await room.deliver()
            assert sorted(post.json["data"]["run_id"] for post in far.posts) == sorted(str(run.id) for run in runs)
            assert {row.status for row in await room.rows()} == {"sent"}
            await room.later(86_400)
            await room.deliver()
            assert len(far.posts) == 20


async def test_after_the_last_try_a_delivery_is_a_dead_letter_that_can_be_sent_again(room: Room, far: FarInbox) -> None:
    await room.tell(await room.task(hook(far)))
    far.usual = (500, {}, "broken\x00")
    for wait in RETRY_SECONDS:
        await room.later(wait * 1.1 + 1)
        await room.deliver()
    (row,) = await room.rows(status="dead")
    assert row.attempts == len(RETRY_SECONDS) == len(await room.attempts(row.id))
    assert (row.status_reason, row.ended_at is not None) == ("refused", True)

    far.usual = (200, {}, "ok")
    again = await room.resend(row.id)
    await room.deliver()
    assert far.posts[-1].headers["webhook-id"] == str(row.id)
    assert again.resend_of == row.id
    assert [one.status for one in await room.rows()] == ["dead", "sent"]


async def test_tries_keep_their_distance_and_wait_as_long_as_they_are_asked_to(room: Room, far: FarInbox) -> None:
    await room.tell(await room.task(hook(far)))
    far.script = [(429, {"retry-after": "120"}, "slow down"), (500, {}, "")]
    await room.deliver()
    row = await room.row()
    assert (row.status, row.status_reason) == ("pending", "rate_limited")
    await room.later(60)
    await room.deliver()
    assert len(far.posts) == 1
    await room.later(61)
    await room.deliver()
    assert len(far.posts) == 2
    await room.later(290)
    await room.deliver()
    assert len(far.posts) == 2
    await room.later(60)
    await room.deliver()
    assert [attempt.code for attempt in await room.attempts(row.id)] == ["429", "500", "200"]
    assert len({post.headers["webhook-id"] for post in far.posts}) == 1


async def test_a_redirect_is_a_failure_and_410_an_end(room: Room, far: FarInbox) -> None:
    await room.tell(await room.task(hook(far)))
    far.script = [(307, {"location": f"{far.url}/elsewhere"}, ""), (410, {}, "gone")]
    await room.deliver()
    row = await room.row()
    assert (row.status, row.status_reason) == ("pending", "redirected")
    await room.later(10)
    await room.deliver()
    row = await room.row()
    assert (row.status, row.status_reason) == ("failed", "gone")
    assert [post.path for post in far.posts] == ["/hook", "/hook"]


async def test_a_line_cut_after_the_webhook_was_taken_repeats_it_under_the_same_id(room: Room, far: FarInbox) -> None:
    await room.tell(await room.task(hook(far)))
    far.script = [(0, {}, "")]
    await room.deliver()
    await room.later(10)
    await room.deliver()
    assert len(far.posts) == 2
    assert len({(post.headers["webhook-id"], post.body) for post in far.posts}) == 1
    assert (await room.row()).status == "sent"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[64:ff9b::7f00:1]/x",
        "http://example.com/x",
        "https://localhost/x",
    ],
)
async def test_an_address_that_is_not_open_is_refused_at_the_send_too(room: Room, far: FarInbox, url: str) -> None:
    await room.tell(await room.task({"channels": ["webhook"], "webhook_url": url}))
    await room.deliver()
    row = await room.row()
    assert (row.status, row.status_reason, row.attempts) == ("failed", "blocked_address", 1)
    assert "OUTBOUND_ALLOW_HOSTS" in (row.status_detail or "")
    assert "/x" not in (row.status_detail or "")
    assert far.posts == []


@pytest.mark.parametrize("inside", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "169.254.169.254"])
async def test_a_name_that_has_come_to_lead_inside_is_refused(database: Database, inside: str) -> None:
    async def resolver(host: str, port: int) -> list[str]:
        return ["93.184.216.34", inside]

    async with open_room(database, means_of(resolver=resolver)) as room:
        await room.tell(await room.task({"channels": ["webhook"], "webhook_url": "https://rebound.example/"}))
        await room.deliver()
        row = await room.row()
    assert (row.status, row.status_reason) == ("failed", "blocked_address")


async def test_slack_takes_a_message_once_whatever_becomes_of_the_line(database: Database, far: FarInbox) -> None:
    slack = SlackOptions(webhook_url=f"{far.url}/services/T/B/x", bot_token="xoxb-1", api_base_url=f"{far.url}/api/")
    async with open_room(database, means_of(slack=slack, seconds=2)) as room:
        await room.tell(await room.task({"channels": ["slack"]}), text="<!channel> & <@U1>")
        far.script = [(429, {"retry-after": "30"}, "")]
        await room.deliver()
        await room.later(20)
        await room.deliver()
        assert len(far.posts) == 1
        await room.later(11)
        await room.deliver()
        first = await room.row()
        assert (first.status, len(far.posts)) == ("sent", 2)
        assert "<" not in far.posts[-1].body.decode()

        far.posts.clear()
        far.script = [(0, {}, "")]
        await room.tell(await room.task({"channels": ["slack"]}))
        await room.deliver()
        await room.later(86_400)
        await room.deliver()
        cut = (await room.rows())[-1]
        assert (cut.status, cut.status_reason, len(far.posts)) == ("unknown", "no_answer", 1)

        far.script = [(404, {}, "no_service")]
        await room.tell(await room.task({"channels": ["slack"]}))
        await room.deliver()
        gone = (await room.rows())[-1]
        assert (gone.status, gone.status_reason) == ("failed", "refused")
        assert "no_service" in (gone.status_detail or "")


async def test_slack_as_the_bot(database: Database, far: FarInbox) -> None:
    slack = SlackOptions(bot_token="xoxb-1", api_base_url=f"{far.url}/api")
    async with open_room(database, means_of(slack=slack, seconds=2)) as room:
        far.script = [
            (200, {}, '{"ok": false, "error": "ratelimited"}'),
            (200, {}, '{"ok": true, "ts": "1.2"}'),
            (200, {}, '{"ok": false, "error": "channel_not_found"}'),
            (200, {}, '{"ok": false, "error": "fatal_error"}'),
        ]
        for _ in range(3):
            await room.tell(await room.task({"channels": ["slack"], "slack_channel": "#reports"}))
            await room.deliver()
            await room.later(10)
            await room.deliver()
        states = [(row.status, row.status_reason) for row in await room.rows()]
        assert states == [("sent", None), ("failed", "refused"), ("unknown", "no_answer")]
        post = far.posts[1]
        assert (post.path, post.headers["authorization"]) == ("/api/chat.postMessage", "Bearer xoxb-1")
        assert (post.json["channel"], post.json["unfurl_links"], post.json["parse"]) == ("#reports", False, "none")


async def test_what_is_not_configured_stays_in_the_dev_inbox(room: Room) -> None:
    await room.tell(await room.task({"channels": ["email", "slack"], "email_address": "user@example.com"}))
    await room.deliver()
    rows = await room.rows()
    assert [(row.status, row.status_reason, row.attempts) for row in rows] == [("inbox", "not_configured", 0)] * 2


async def test_the_second_way_is_taken_when_the_first_is_closed(database: Database, far: FarInbox) -> None:
    slack = SlackOptions(webhook_url=f"{far.url}/services/T")
    async with open_room(database, means_of(allow=[far.netloc], slack=slack, seconds=2)) as room:
        config = {"channels": ["slack"], "webhook_url": f"{far.url}/second", "fallback": "webhook"}
        await room.tell(await room.task(config))
        far.script = [(404, {}, "no_service")]
        await room.deliver()
        await room.deliver()
        first, second = await room.rows()
        assert (first.status, second.status, second.fallback_of) == ("failed", "sent", first.id)
        assert [post.path for post in far.posts] == ["/services/T", "/second"]


async def test_a_digest_is_one_message_for_a_window(room: Room, far: FarInbox) -> None:
    config = hook(far, digest={"every_seconds": 600}, notify_on=["success", "failure", "waiting"])
    one, two = await room.task(config, "First"), await room.task(config, "Second")
    for task in (one, two, one):
        await room.tell(task)
    await room.deliver()
    assert (len(far.posts), {row.status for row in await room.rows()}) == (0, {"held"})
    assert len({row.due_at for row in await room.rows()}) == 1
    await room.later(601)
    await room.deliver()
    (post,) = far.posts
    assert post.json["type"] == "digest"
    titles = [item["data"]["task_title"] for item in post.json["data"]["items"]]
    assert titles == ["First", "Second", "First"]
    rows = await room.rows()
    assert sorted(row.status for row in rows) == ["digested", "digested", "digested", "sent"]
    assert len({row.digest_id for row in rows if row.status == "digested"}) == 1

    await room.tell(one)
    await room.later(601)
    await room.deliver()
    assert far.posts[-1].json["type"] == "run.completed"


async def test_a_receiver_that_is_not_there_is_tried_again(room: Room) -> None:
    port = free_port()
    means = means_of(allow=[f"127.0.0.1:{port}"], seconds=2)
    here = another(room, means)
    await room.tell(await room.task({"channels": ["webhook"], "webhook_url": f"http://127.0.0.1:{port}/"}))
    await here.deliver()
    row = await room.row()
    assert (row.status, row.status_reason) == ("pending", "unreachable")


async def test_only_what_has_ended_can_be_sent_again(room: Room, far: FarInbox) -> None:
    await room.tell(await room.task(hook(far)))
    with pytest.raises(Conflict):
        await room.resend((await room.row()).id)


async def test_old_deliveries_are_forgotten_with_their_attempts(room: Room, far: FarInbox) -> None:
    task = await room.task(hook(far))
    await room.tell(task)
    await room.deliver()
    await room.later(91 * 86_400)
    await room.tell(task)
    async with room.database.across() as unit:
        assert await unit.outbox.forget(90, 100) == 1
    assert [row.status for row in await room.rows()] == ["pending"]
