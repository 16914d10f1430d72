"""Numbering, coalescing and the limits of one attempt's log, without any store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any
from uuid import uuid4

import pytest

from app.integrations.bus import Bus
from app.integrations.bus_wire import Position
from app.models.frames import Frame
from app.models.run import Run
from app.services.event_hub import FEED_FRAMES, EventHub, Feed
from app.services.event_log import COMMIT_SOON, MOST_UNCOMMITTED, EventLog

NOBODY = "unix:///nowhere/valkey.sock"


@pytest.fixture
async def hub() -> AsyncIterator[EventHub]:
    hub = EventHub(Bus(NOBODY))
    hub.away = True
    yield hub
    await hub.bus.close()


def a_run(**values: Any) -> Run:
    known: dict[str, Any] = {field.name: None for field in fields(Run)}
    known |= {"id": uuid4(), "conversation_id": uuid4(), "fence": 1, "attempt": 1, "last_seq": 0}
    return Run(**{**known, **values})


def made(hub: EventHub, **values: Any) -> EventLog:
    run = a_run(**values)
    return EventLog(run, hub, next_seq=run.last_seq + 1)


def told(frames: list[Frame]) -> list[tuple[int, str]]:
    return [(frame.seq, frame.event.get("text", frame.type)) for frame in frames]


async def test_the_first_piece_of_text_is_shown_at_once_and_the_rest_together(hub: EventHub) -> None:
    log = made(hub)
    with hub.feed(log.run_id) as feed:
        for piece in "abcd":
            log.delta(piece)
        assert told(await feed.take(0)) == [(1, "a")]
        assert told(await feed.take(1)) == [(2, "bcd")]
        log.delta("e")
        log.emit("tool.call", tool="clock")
        assert told(await feed.take(0)) == [(3, "e"), (4, "tool.call")]
        await asyncio.sleep(0.05)
        log.delta("f")
        assert told(await feed.take(0)) == [(5, "f")]
    log.close()


async def test_what_the_bus_has_not_got_is_seen_by_nobody_until_it_is_away(hub: EventHub) -> None:
    hub.away = False
    log = made(hub)
    with hub.feed(log.run_id) as feed:
        log.emit("run.started")
        sent = log.publication()
        assert sent is not None
        log.emit("usage.updated")
        assert (told(await feed.take(0)), log.frames_after(0), log.shown) == ([], [], 0)
        assert hub.all_since(log.run_id, 0) == []
        log.published(sent, None)
        assert told(await feed.take(0)) == [(1, "run.started")]
        log.emit("tool.call")
        assert not await hub.send()
        assert told(await feed.take(0)) == [(2, "usage.updated"), (3, "tool.call")]
        log.emit("tool.result")
        assert told(await feed.take(0)) == [(4, "tool.result")]
    log.close()


async def test_what_is_stored_need_not_wait_for_the_bus(hub: EventHub) -> None:
    hub.away = False
    log = made(hub)
    with hub.feed(log.run_id) as feed:
        log.emit("run.started")
        batch = log.take(("run.completed", {}))
        log.committed(batch)
        assert told(await feed.take(0)) == [(1, "run.started"), (2, "run.completed")]
    log.close()


async def test_text_of_different_parts_is_not_mixed(hub: EventHub) -> None:
    log = made(hub, last_seq=7)
    log.delta("a", 0)
    log.delta("b", 0)
    log.delta("c", 1)
    batch = log.take()
    assert batch is not None
    assert (batch.first_seq, batch.last_seq) == (8, 10)
    assert [frame.event["part"] for frame in log.frames_after(7)] == [0, 0, 1]
    log.close()


async def test_only_one_commit_stores_at_a_time(hub: EventHub) -> None:
    log = made(hub)
    assert log.take() is None
    log.emit("run.started")
    batch = log.take()
    log.emit("usage.updated")
    assert log.take() is None
    log.committed(None)
    log.committed(batch)
    batch = log.take()
    assert batch is not None
    assert (batch.first_seq, batch.last_seq) == (2, 2)
    log.rolled_back(batch)
    assert log.take() == batch
    log.close()


async def test_too_much_that_is_not_stored_is_not_shown(hub: EventHub) -> None:
    log = made(hub)
    for _ in range(COMMIT_SOON):
        log.emit("usage.updated")
    assert not log.needs_commit
    for _ in range(MOST_UNCOMMITTED):
        log.emit("usage.updated")
    assert log.needs_commit
    assert log.shown == MOST_UNCOMMITTED
    batch = log.take()
    log.committed(batch)
    assert log.shown == COMMIT_SOON + MOST_UNCOMMITTED
    log.close()


async def test_the_bus_gets_what_its_stream_lacks(hub: EventHub) -> None:
    log = made(hub, fence=2)
    for _ in range(4):
        log.emit("usage.updated")
    sent = log.publication()
    assert sent is not None
    log.published(sent, None)
    assert log.publication() is None
    log.emit("usage.updated")
    sent = log.publication()
    assert sent is not None
    assert (sent.after, [frame.seq for frame in sent.frames]) == (Position(2, 4), [5])
    log.published(sent, Position(2, 1))
    sent = log.publication()
    assert sent is not None
    assert (sent.after, [frame.seq for frame in sent.frames]) == (Position(2, 1), [2, 3, 4, 5])
    log.published(sent, Position(3, 0))
    assert log.superseded
    assert log.publication() is None
    log.close()


async def test_a_closed_log_says_nothing(hub: EventHub) -> None:
    log = made(hub)
    log.delta("a")
    log.delta("b")
    log.close()
    log.emit("usage.updated")
    assert told(log.frames_after(0)) == [(1, "a")]
    assert hub.all_since(log.run_id, 0) is None


async def test_what_nobody_takes_is_given_up_after_a_while(hub: EventHub) -> None:
    log = made(hub)
    log.emit("usage.updated")
    for _ in range(30):
        assert not await hub.send()
    log.close()
    for _ in range(30):
        await hub.send()
    assert await hub.send()


async def test_a_slow_follower_is_sent_to_the_ledger() -> None:
    feed = Feed()
    frame = Frame(1, "usage.updated", b"{}")
    feed.put([frame] * FEED_FRAMES)
    assert not feed.missed
    feed.put([frame])
    assert feed.missed
    assert await feed.take(1) == []
