"""Upkeep over all workspaces: retention in batches, and bells for runs that have waited without being heard."""

from dataclasses import dataclass

from app.database.connection import Database
from app.database.unit import Across
from app.models.bells import RunReady

BATCH = 1000
MOST_BATCHES = 100


@dataclass(frozen=True, slots=True)
class Days:
    """For how many days each kind of thing is kept: after a run's end, a due time, a webhook, a notification."""

    events: int
    journal: int
    occurrences: int
    inbound: int
    deliveries: int


async def forget(database: Database, days: Days) -> int:
    """Delete what is past its time, and idempotency keys and process rows past theirs. Returns how many rows went."""
    total = 0
    for _ in range(MOST_BATCHES):
        async with database.across() as unit:
            gone = await _batch(unit, days)
        total += gone
        if gone < BATCH:
            break
    return total


async def _batch(unit: Across, days: Days) -> int:
    return sum(
        [
            await unit.upkeep.forget_events(days.events, BATCH),
            await unit.upkeep.forget_journal(days.journal, BATCH),
            await unit.upkeep.forget_conversations(BATCH),
            await unit.upkeep.forget_idempotency_keys(BATCH),
            await unit.upkeep.forget_processes(),
            await unit.timetable.forget(days.occurrences, BATCH),
            await unit.triggers.forget(days.inbound, BATCH),
            await unit.outbox.forget(days.deliveries, BATCH),
            await unit.links.forget(BATCH),
        ]
    )


async def ring_for_the_forgotten(database: Database) -> int:
    """Ring for runs that could have been claimed for some seconds. Returns how many there were."""
    async with database.across() as unit:
        waiting = await unit.upkeep.unheard(BATCH)
        for run_id, lane in waiting:
            unit.ring(RunReady(run_id, lane))
    return len(waiting)
