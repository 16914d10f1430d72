"""Couriers of several processes: each message leaves once, whoever is slow, late or killed."""

import asyncio

from support.far_inbox import FarInbox, far_inbox
from support.notices import Room, another, hook, means_of

from app.integrations.slack import SlackOptions


async def test_two_processes_that_close_one_window_send_one_digest(room: Room, far: FarInbox) -> None:
    means = means_of(allow=[far.netloc])
    others = [another(room, means) for _ in range(3)]
    task = await room.task(hook(far, digest={"every_seconds": 60}))
    for _ in range(5):
        await room.tell(task)
    await room.later(61)
    await asyncio.gather(*(one.deliver() for one in (room, *others)))
    await room.deliver()
    assert [post.json["type"] for post in far.posts] == ["digest"]
    assert len(far.posts[0].json["data"]["items"]) == 5


async def test_many_processes_send_each_message_once(room: Room, far: FarInbox) -> None:
    means = means_of(allow=[far.netloc])
    others = [another(room, means) for _ in range(3)]
    task = await room.task(hook(far))
    for _ in range(100):
        await room.tell(task)
    while await room.rows(status="pending"):
        await asyncio.gather(*(one.deliver() for one in (room, *others)))
    ids = [post.headers["webhook-id"] for post in far.posts]
    assert (len(ids), len(set(ids))) == (100, 100)


async def test_a_slow_receiver_does_not_stop_the_others(room: Room, far: FarInbox) -> None:
    with far_inbox() as slow:
        slow.hold.clear()
        means = means_of(allow=[far.netloc, slow.netloc], seconds=5)
        crowded = another(room, means)
        slow_task, task = await room.task(hook(slow)), await room.task(hook(far))
        for _ in range(30):
            await room.tell(slow_task)
        await room.tell(task)
        await crowded.courier.look()
        assert await asyncio.to_thread(far.arrived.wait, 4)
        assert len(slow.posts) <= 4
        slow.hold.set()
        await crowded.courier.idle()


async def test_a_process_killed_in_the_middle_of_sending(room: Room, far: FarInbox) -> None:
    slack = SlackOptions(webhook_url=f"{far.url}/services/T")
    means = means_of(allow=[far.netloc], slack=slack, seconds=30)
    doomed = another(room, means)
    task = await room.task({"channels": ["slack", "webhook"], "webhook_url": f"{far.url}/hook"})
    await room.tell(task)
    far.hold.clear()
    await doomed.courier.look()
    while len(far.posts) < 2:
        await asyncio.to_thread(far.arrived.wait, 5)
        far.arrived.clear()
    for sending in list(doomed.running):
        sending.cancel()
    await asyncio.gather(*doomed.running, return_exceptions=True)
    far.hold.set()
    assert {row.status for row in await room.rows()} == {"sending"}

    healthy = another(room, means)
    await healthy.deliver()
    assert len(far.posts) == 2
    await room.later(120)
    await healthy.deliver()
    await room.later(10)
    await healthy.deliver()
    states = {row.channel: (row.status, row.status_reason) for row in await room.rows()}
    assert states == {"slack": ("unknown", "interrupted"), "webhook": ("sent", None)}
    hooks = [post for post in far.posts if post.path == "/hook"]
    assert (len(hooks), len({post.headers["webhook-id"] for post in hooks})) == (2, 1)
    assert len([post for post in far.posts if post.path != "/hook"]) == 1


async def test_a_late_answer_of_a_process_that_was_given_up_changes_nothing(room: Room, far: FarInbox) -> None:
    frozen = another(room, means_of(allow=[far.netloc], seconds=30))
    await room.tell(await room.task(hook(far)))
    far.hold.clear()
    await frozen.courier.look()
    await asyncio.to_thread(far.arrived.wait, 5)
    await room.later(120)
    await room.courier.look()
    await room.later(10)
    far.hold.set()
    await frozen.courier.idle()
    row = await room.row()
    assert (row.status, row.status_reason) == ("pending", "interrupted")
    await room.deliver()
    assert (await room.row()).status == "sent"


async def test_the_courier_delivers_on_its_own_and_leaves_in_good_order(room: Room, far: FarInbox) -> None:
    courier = another(room, means_of(allow=[far.netloc])).courier
    working = asyncio.ensure_future(courier.run())
    await room.tell(await room.task(hook(far)))
    courier.ring()
    assert await asyncio.to_thread(far.arrived.wait, 5)
    await courier.drain(5)
    await asyncio.wait_for(working, 5)
    assert (await room.row()).status == "sent"
