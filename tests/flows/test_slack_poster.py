"""Slack's outbox: a message that takes long to post stays with who posts it, and one that nobody keeps goes on soon."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from support.slack_desk import slack_settings
from support.slack_server import TEAM, FakeSlack, slack_server
from support.stores import own_stores

from app.database import migrations
from app.models.ids import new_id
from app.models.slack import Place
from app.runtime import Runtime, open_runtime
from app.runtime.slack import slack_app
from app.services.slack_cards import note
from app.services.slack_people import Slack
from app.services.slack_poster import SlackPoster
from tests.conftest import test_settings

CHANNEL = "D0ALICE01"
LEASE = 1.5


@pytest.fixture
def far_slack() -> Iterator[FakeSlack]:
    with slack_server() as server:
        yield server


@pytest.fixture
async def slack(
    far_slack: FakeSlack, database_url: str, redis_url: str, tmp_path: Path
) -> AsyncGenerator[tuple[Runtime, Slack]]:
    """A process that posts nothing by itself, and its hand in Slack."""
    settings = test_settings(database_url, redis_url, tmp_path, **slack_settings(far_slack))
    async with open_runtime(settings, "api") as runtime:
        yield runtime, slack_app(runtime).slack


@contextlib.asynccontextmanager
async def posting(slack: Slack) -> AsyncGenerator[SlackPoster]:
    poster = SlackPoster(slack, LEASE)
    rounds = asyncio.create_task(poster.run())
    try:
        yield poster
    finally:
        await poster.drain(5)
        await rounds


async def put(slack: Slack, text: str) -> None:
    async with slack.database.begin(await slack.workspace_id()) as unit:
        await unit.slack_messages.put("answer", new_id(), Place(TEAM, CHANNEL), {"parts": [note(text)]})


async def at_rest(slack: Slack) -> None:
    async with asyncio.timeout(15):
        while True:
            async with slack.database.across() as unit:
                due = "SELECT count(*) FROM slack_messages WHERE due_at IS NOT NULL"
                if (await unit.connection.exec_driver_sql(due)).scalar_one() == 0:
                    return
            await asyncio.sleep(0.05)


async def test_a_slow_post_is_kept_by_who_began_it(far_slack: FakeSlack, slack: tuple[Runtime, Slack]) -> None:
    _, own = slack
    far_slack.fault("chat.postMessage", hold=3 * LEASE)
    await put(own, "Slowly.")
    async with posting(own), posting(own):
        await at_rest(own)
    assert [one.text for one in far_slack.said(CHANNEL)] == ["Slowly."]
    assert (len(far_slack.made("chat.postMessage")), far_slack.made("conversations.history")) == (1, [])


async def test_what_a_dead_process_had_taken_goes_on_within_a_lease(
    far_slack: FakeSlack, slack: tuple[Runtime, Slack]
) -> None:
    _, own = slack
    await put(own, "At last.")
    async with own.database.begin(await own.workspace_id()) as unit:
        assert len(await unit.slack_messages.claim(room=1, lease=LEASE)) == 1
    async with posting(own):
        shown = await far_slack.text("At last.", seconds=LEASE + 3)
        await at_rest(own)
    assert far_slack.said(CHANNEL) == [shown]
    assert len(far_slack.made("conversations.history")) == 1, "it is looked for before it is posted again"


async def test_draining_goes_on_while_the_database_is_away(far_slack: FakeSlack, tmp_path: Path) -> None:
    async with own_stores(durable=True) as stores:
        await migrations.upgrade_async(stores.urls.database_url)
        settings = test_settings(*stores.urls, tmp_path, **slack_settings(far_slack))
        async with open_runtime(settings, "api") as runtime:
            own = slack_app(runtime).slack
            far_slack.fault("chat.postMessage", hold=2 * LEASE)
            await put(own, "On its way.")
            async with posting(own) as poster:
                await far_slack.until(lambda: not far_slack.faults["chat.postMessage"])
                assert stores.postgres.pid is not None
                os.kill(stores.postgres.pid, signal.SIGKILL)
                await poster.drain(10)
            assert [one.text for one in far_slack.said(CHANNEL)] == ["On its way."], "it was waited for"
            await stores.postgres.start()
            async with posting(own):
                await at_rest(own)
    assert [one.text for one in far_slack.said(CHANNEL)] == ["On its way."], "it was looked for and found"
    assert len(far_slack.made("chat.postMessage")) == 1
