"""Couriers killed while they send: nothing is lost, webhooks come again under their id, Slack is not repeated."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.far_inbox import FarInbox, far_inbox
from support.forks import begin
from support.notices import Room, another, means_of, open_room
from support.stores import own_stores

from app.database import migrations
from app.database.connection import Database
from app.integrations.slack import SlackOptions

pytestmark = pytest.mark.xdist_group("patience")

BLOWS = 6


@contextmanager
def courier(database_url: str, far: FarInbox) -> Iterator[None]:
    """A courier process; it is killed at the end at the latest."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as told:
        try:
            child = begin("support.courier_process", database_url, far.netloc, f"{far.url}/slack", output=writing)
        finally:
            os.close(writing)
        try:
            assert told.readline().strip() == "ready"
            yield
        finally:
            child.kill()
            child.wait(10)


def sent_by_id(far: FarInbox) -> Counter[str]:
    return Counter(post.headers["webhook-id"] for post in far.posts if post.path == "/hook")


async def killed_while_sending(room: Room, database_url: str, far: FarInbox) -> None:
    """Let a process begin to send, and kill it before it has an answer."""
    task = await room.task({"channels": ["slack", "webhook"], "webhook_url": f"{far.url}/hook"})
    await room.tell(task)
    before = len(far.posts)
    far.hold.clear()
    with courier(database_url, far):
        async with asyncio.timeout(20):
            while len(far.posts) < before + 2:
                far.arrived.clear()
                await asyncio.to_thread(far.arrived.wait, 0.2)
    far.hold.set()


async def test_a_killed_courier_loses_nothing_and_repeats_only_what_is_known_again(
    database: Database, database_url: str
) -> None:
    with far_inbox() as far:
        means = means_of(allow=[far.netloc], slack=SlackOptions(webhook_url=f"{far.url}/slack"))
        async with open_room(database, means) as room:
            for _ in range(BLOWS):
                await killed_while_sending(room, database_url, far)
            assert {row.status for row in await room.rows()} == {"sending"}
            await room.later(120)
            await another(room, means).deliver()
            await room.later(60)
            await another(room, means).deliver()
            states = Counter((row.channel, row.status) for row in await room.rows())
            assert states == {("slack", "unknown"): BLOWS, ("webhook", "sent"): BLOWS}
            assert sorted(sent_by_id(far).values()) == [2] * BLOWS
            assert len([post for post in far.posts if post.path == "/slack"]) == BLOWS


async def test_what_was_answered_while_the_database_was_away_is_not_forgotten() -> None:
    async with own_stores(durable=True) as stores:
        await migrations.upgrade_async(stores.urls.database_url)
        database = Database(stores.urls.database_url, pool_size=4)
        with far_inbox() as far:
            means = means_of(slack=SlackOptions(webhook_url=f"{far.url}/slack"), seconds=30)
            async with open_room(database, means) as room:
                await room.tell(await room.task({"channels": ["slack"]}))
                far.hold.clear()
                await room.courier.look()
                assert await asyncio.to_thread(far.arrived.wait, 10)
                await stores.postgres.stop()
                far.hold.set()
                await asyncio.wait(room.running, timeout=1)
                assert room.running, "it waits for the database"
                await stores.postgres.start()
                await room.courier.idle()
                row = await room.row()
                assert (row.status, row.attempts, len(far.posts)) == ("sent", 1, 1)
        await database.close()
