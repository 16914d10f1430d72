"""Upkeep: approvals expire, bells are rung again, and what retention no longer covers is forgotten."""

from sqlalchemy import text
from support.loopback import Loopback
from support.model_server import script

from app.database.connection import Database
from app.models.conversation import ForkIn
from app.models.imported import Imported
from app.services import approvals, chat_completions, conversations, history_import, upkeep
from app.services.chat_completions import Completion
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


async def test_what_was_made_for_one_answer_goes_in_its_time(desk: Desk) -> None:
    database = desk.runtime.database
    history = [Imported("user", "Hello"), Imported("assistant", "Hi"), Imported("user", script({"text": "done"}))]
    wanted = Completion("assistant", history_import.read(history), days=30)
    runs = [(await chat_completions.begin(desk.runtime.works.chat, desk.owner, wanted, None))[0] for _ in range(2)]
    for run in runs:
        await desk.answer(run)
    async with database.begin(desk.owner.workspace_id) as unit:
        fork, _ = await conversations.fork(unit, desk.owner, runs[0].conversation_id, ForkIn(), once=None)
    await travel(database, "31 days")
    await sweeper.forget(desk.runtime)
    assert (await count(database, "conversations"), await count(database, "runs")) == (2, 1)
    assert len(await desk.entries(fork.id)) == 4
    assert await count(database, "entries") == 4


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
        assert set(jobs) == {"fire", "settle", "recover", "give_up", "expire", "forget"}
        assert all(job.max_instances == 1 and job.misfire_grace_time is None for job in jobs.values())
    finally:
        clock.stop()
