"""Upkeep: approvals expire, bells are rung again, and what retention no longer covers is forgotten."""

from sqlalchemy import text
from support.loopback import Loopback

from app.database.connection import Database
from app.services import approvals, upkeep
from app.workers import scheduler, sweeper
from tests.flows.conftest import Desk
from tests.flows.test_effects import POST, sent


async def travel(database: Database, interval: str) -> None:
    """Move the ledger's clock."""
    async with database.across() as unit:
        statement = text("UPDATE app_clock SET offset_by = CAST(CAST(:by AS text) AS interval)")
        await unit.connection.execute(statement, {"by": interval})


async def count(database: Database, table: str) -> int:
    async with database.across() as unit:
        return int((await unit.connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def test_an_approval_expires_and_counts_as_denied(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(approval="ask")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    await travel(desk.runtime.database, "13 days")
    assert await approvals.expire_due(desk.runtime.database) == 0
    await travel(desk.runtime.database, "14 days 1 second")
    await sweeper.expire(desk.runtime)
    after = await desk.answer(turn.run)
    assert (after.run.status, sent(far_end, turn.run.id)) == ("completed", 0)
    entries = await desk.entries(conversation_id)
    assert "Nobody decided" in entries[2].message["parts"][0]["content"]


async def test_a_decision_after_a_week_is_one_effect(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(approval="ask")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    await travel(desk.runtime.database, "7 days")
    await desk.decide(turn.approvals[0].id, "approve")
    assert (await desk.answer(turn.run)).run.status == "completed"
    assert sent(far_end, turn.run.id) == 1


async def test_an_unknown_outcome_that_nobody_settles_is_not_repeated(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(query="cut=1")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    await travel(desk.runtime.database, "15 days")
    await sweeper.expire(desk.runtime)
    assert (await desk.answer(turn.run)).run.status == "completed"
    assert sent(far_end, turn.run.id) == 1
    assert [call.status for call in await desk.journal(turn.run.id)] == ["skipped"]


DAYS = upkeep.Days(events=7, journal=90, occurrences=90, inbound=8, deliveries=90)


async def test_retention_forgets_in_its_time(desk: Desk) -> None:
    database = desk.runtime.database
    conversation_id = await desk.conversation()
    await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    assert await upkeep.forget(database, DAYS) == 0
    await travel(database, "8 days")
    await sweeper.forget(desk.runtime)
    assert (await count(database, "run_events"), await count(database, "tool_calls")) == (0, 1)
    await travel(database, "91 days")
    await sweeper.forget(desk.runtime)
    assert (await count(database, "tool_calls"), await count(database, "runs")) == (0, 1)


async def test_a_run_that_nobody_heard_of_is_rung_for_again(desk: Desk) -> None:
    database = desk.runtime.database
    desk.runtime.works.pool.close()
    conversation_id = await desk.conversation(approval="ask")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    await desk.decide(turn.approvals[0].id, "deny")
    assert await upkeep.ring_for_the_forgotten(database) == 0
    await travel(database, "4 seconds")
    assert await upkeep.ring_for_the_forgotten(database) == 1
    await sweeper.recover(desk.runtime)


async def test_the_clock_has_its_fixed_jobs(desk: Desk) -> None:
    clock = scheduler.Clock(desk.runtime)
    clock.start()
    try:
        jobs = {job.id: job for job in clock._scheduler.get_jobs()}  # pyright: ignore[reportPrivateUsage]
        assert set(jobs) == {"fire", "settle", "recover", "expire", "forget"}
        assert all(job.max_instances == 1 and job.misfire_grace_time is None for job in jobs.values())
    finally:
        clock.stop()
