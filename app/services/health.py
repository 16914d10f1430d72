"""Whether this process can work, what the fleet is doing, and what waits."""

import asyncio
from collections import Counter
from functools import cache

from app.database import migrations
from app.database.connection import Database
from app.integrations.metrics import Reading
from app.models.errors import Unavailable
from app.models.fleet import ProcessOut

CHECK_SECONDS = 4.0


@cache
def _revisions() -> tuple[str, ...]:
    return migrations.known_revisions()


async def check_ready(database: Database) -> None:
    """Raise Unavailable while the database is away, or its schema is older than this code."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await database.ping()
            present = await migrations.present_revision(database.engine)
    except TimeoutError:
        raise Unavailable("The database does not answer in time.", code="database_unavailable") from None
    newest, *older = _revisions()
    if present is None or present in older:
        raise Unavailable(
            f"The database's schema is older than this version needs: it is at {present or 'nothing'}, "
            f"the code at {newest}. Run `sixlane migrate`.",
            code="schema_outdated",
            retry_after=10,
        )


async def fleet(database: Database) -> list[ProcessOut]:
    """The processes that reported within the last minute."""
    async with database.across() as unit:
        rows = await unit.processes.present()
    shown = [ProcessOut.model_validate(row) for row in rows]
    return [row.model_copy(update={"load": {k: v for k, v in row.load.items() if k != "counted"}}) for row in shown]


async def alive(database: Database, role: str, host: str) -> bool:
    """Whether a process of the role on that host reported within the last minute."""
    async with database.across() as unit:
        return any(row.role == role and row.host == host for row in await unit.processes.present())


async def census(database: Database) -> Reading:
    """Open runs, queue age, notifications, lateness, and the processes with what each has counted."""
    async with database.across() as unit:
        present = await unit.processes.present()
        return Reading(
            runs=await unit.processes.open_runs(),
            queue_age=await unit.processes.queue_age(),
            deliveries=await unit.processes.deliveries(),
            lateness=await unit.processes.lateness(),
            processes=Counter(row.role for row in present),
            counted={row.id: row.load.get("counted", {}) for row in present},
        )
