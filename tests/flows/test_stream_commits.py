"""Events and commits: what is shown when, what others append, what is stored and what is left of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from support.event_process import Process, seqs, started
from support.event_runs import RunLedger
from support.valkey import OwnValkey, own_valkey

from app.api.stream import event_page
from app.database.connection import Database
from app.models.bells import EventsAppended
from app.models.errors import NotFound
from app.models.run import Run
from app.services.event_log import EventLog, append_events
from app.services.events import page


@pytest.fixture
async def ledger(database: Database) -> RunLedger:
    return await RunLedger.of(database)


@pytest.fixture
async def valkey() -> AsyncIterator[OwnValkey]:
    async with own_valkey() as server:
        yield server


@pytest.fixture
async def here(database: Database, valkey: OwnValkey) -> AsyncIterator[Process]:
    async with started(Process(database, valkey)) as process:
        yield process


@pytest.fixture
async def there(database: Database, valkey: OwnValkey) -> AsyncIterator[Process]:
    async with started(Process(database, valkey)) as process:
        yield process


async def test_what_becomes_true_with_a_commit_is_shown_after_it(ledger: RunLedger, here: Process) -> None:
    run = await ledger.running()
    log = await EventLog.open(run, here.hub, ledger.database)
    with here.hub.feed(run.id) as feed:
        log.emit("run.started", model="demo", agent="assistant")
        batch = log.take(("run.completed", {}))
        assert batch is not None
        assert (batch.first_seq, batch.last_seq) == (1, 2)
        log.delta("while the commit runs")
        assert seqs(await feed.take(1)) == [1]
        assert seqs(log.frames_after(0)) == [1]
        log.rolled_back(batch)
        assert [frame.type for frame in await feed.take(1)] == ["message.delta"]
        batch = log.take(("run.failed", {}))
        assert batch is not None
        assert batch.last_seq == 3
        log.emit("usage.updated", usage={})
        log.committed(batch)
        assert [(frame.seq, frame.type) for frame in await feed.take(1)] == [(3, "run.failed")]
        assert [(frame.seq, frame.type) for frame in await feed.take(1)] == [(4, "usage.updated")]
    log.close()


async def test_others_append_in_their_own_commit(ledger: RunLedger, here: Process, there: Process) -> None:
    run = await ledger.queued()
    ledger.database.set_ringer(lambda bells: _appended(here, bells))
    async with ledger.database.begin(run.workspace_id) as unit:
        await append_events(unit, run, [("run.queued", {"waiting_on": []})])
    watching = asyncio.create_task(there.read(run))
    claimed = await ledger.claimed(run)
    assert claimed.last_seq == 1
    log = await EventLog.open(claimed, here.hub, ledger.database)
    log.emit("run.started", model="demo", agent="assistant")
    await ledger.commit(claimed, log, ("run.waiting", {"approval_ids": []}), to="waiting")
    log.close()
    async with ledger.database.begin(run.workspace_id) as unit:
        waiting = await unit.runs.get(run.id)
        assert waiting is not None
        await append_events(
            unit,
            waiting,
            [("approval.decided", {"approval_id": uuid4(), "status": "denied"}), ("run.cancelled", {})],
        )
        await unit.runs.transition(run.id, ("waiting",), "cancelled")
    found = await watching
    assert [frame.type for frame in found] == [
        "run.queued",
        "run.started",
        "run.waiting",
        "approval.decided",
        "run.cancelled",
    ]
    assert seqs(found) == [1, 2, 3, 4, 5]
    async with ledger.database.begin(uuid4()) as unit:
        with pytest.raises(NotFound):
            await append_events(unit, run, [("run.queued", {})])


async def _appended(process: Process, bells: Any) -> None:
    for bell in bells:
        if isinstance(bell, EventsAppended):
            process.hub.appended(bell)


async def test_a_follower_of_an_ended_run_ends(ledger: RunLedger, here: Process, there: Process) -> None:
    run = await ledger.running()
    log = await EventLog.open(run, here.hub, ledger.database)
    log.emit("run.started", model="demo", agent="assistant")
    await ledger.end(run, log)
    assert seqs(await there.read(run)) == [1, 2]
    assert seqs(await there.read(run, after=1)) == [2]
    assert await there.read(run, after=2) == []
    assert await there.read(run, after=2_000_000_000) == []
    async with ledger.database.begin(run.workspace_id) as unit:
        await unit.connection.execute(text("DELETE FROM run_events WHERE run_id = :id"), {"id": run.id})
    assert [(frame.seq, frame.type) for frame in await there.read(run)] == [(2, "run.completed")]
    assert await here.read(await ledger_stranger(run)) == []


async def ledger_stranger(run: Run) -> Run:
    """The same run as a stranger would ask for it."""
    return replace(run, workspace_id=uuid4())


async def test_pages_of_stored_events(ledger: RunLedger, here: Process) -> None:
    run = await ledger.running()
    log = await EventLog.open(run, here.hub, ledger.database)
    for _ in range(5):
        for _ in range(3):
            log.emit("usage.updated", usage={})
        await ledger.commit(run, log)
    await ledger.end(run, log)
    async with ledger.database.begin(run.workspace_id) as unit:
        found, more = await page(unit, run.id, 2, 4)
        assert (seqs(found), more) == ([3, 4, 5, 6], True)
        found, more = await page(unit, run.id, 13, 4)
        assert (seqs(found), more) == ([14, 15, 16], False)
        with pytest.raises(NotFound):
            await page(unit, uuid4(), 0, 4)
    body = json.loads(bytes(event_page(found, has_more=True).body))
    assert (body["data"][0]["seq"], body["next_cursor"]) == (14, "16")


async def test_a_stream_that_ends_early_at_a_given_event(ledger: RunLedger, here: Process) -> None:
    run = await ledger.running()
    log = await EventLog.open(run, here.hub, ledger.database)
    await ledger.commit(run, log, ("run.waiting", {"approval_ids": []}), to="waiting")
    log.close()
    async with asyncio.timeout(5):
        batches = [batch async for batch in here.follow(run, ends_on=frozenset({"run.waiting"}))]
    assert seqs([frame for batch in batches for frame in batch]) == [1]


async def test_the_word_to_stop_is_passed_on(here: Process, there: Process) -> None:
    run_id = uuid4()
    await here.bus.ring_cancel(run_id)
    async with asyncio.timeout(5):
        while not there.cancelled:
            await asyncio.sleep(0.005)
    assert there.cancelled == [run_id]
