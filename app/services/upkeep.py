"""Upkeep over all workspaces: retention in batches, and bells for runs that have waited without being heard."""

from app.database.connection import Database
from app.models.bells import RunReady

BATCH = 1000
MOST_BATCHES = 100


async def forget(database: Database, *, event_days: int, journal_days: int) -> int:
    """Delete events, tool calls, idempotency keys and process rows past their time. Returns how many rows went."""
    total = 0
    for _ in range(MOST_BATCHES):
        async with database.across() as unit:
            gone = await unit.upkeep.forget_events(event_days, BATCH)
            gone += await unit.upkeep.forget_journal(journal_days, BATCH)
            gone += await unit.upkeep.forget_idempotency_keys(BATCH)
            gone += await unit.upkeep.forget_processes()
        total += gone
        if gone < BATCH:
            break
    return total


async def ring_for_the_forgotten(database: Database) -> int:
    """Ring for runs that could have been claimed for some seconds. Returns how many there were."""
    async with database.across() as unit:
        waiting = await unit.upkeep.unheard(BATCH)
        for run_id, lane in waiting:
            unit.ring(RunReady(run_id, lane))
    return len(waiting)
