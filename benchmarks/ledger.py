"""What the database does for it: transactions and bytes of a turn, and a claim from a long queue."""

import time

from sqlalchemy import text

from app.database.connection import Database
from app.database.stores.queue import LaneRoom
from app.services.users import local_owner
from benchmarks.turns import conversations, say, stretch
from benchmarks.world import World

QUEUED = 50_000
OWNERS = 200
BATCHES = 20

_FILL = """
WITH people AS (
    INSERT INTO users (workspace_id, id, external_id)
    SELECT :workspace, gen_random_uuid(), CAST(:batch AS text) || '-' || n FROM generate_series(1, :owners) n
    RETURNING id
), places AS (
    INSERT INTO conversations (workspace_id, id, user_id, pattern, agent)
    SELECT :workspace, gen_random_uuid(), p.id, 'delegation', 'delegate'
      FROM people p, generate_series(1, :each) RETURNING id, user_id
)
INSERT INTO runs (workspace_id, id, conversation_id, user_id, pattern, agent, agent_version, model, lane, status,
                  max_attempts, trigger, input, created_by)
SELECT :workspace, gen_random_uuid(), id, user_id, 'delegation', 'delegate', '1', 'demo', :lane, 'queued', 3, 'api',
       '{"prompt": "hi"}', 'bench' FROM places
"""
_TRANSACTIONS = text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")
"""The number of this transaction: transactions that only read get none."""
_BYTES = text(
    "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
    "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)


async def _size(database: Database) -> int:
    """Bytes of all tables and their indexes once what is dead is given back, as it is now and then anyway."""
    async with database.engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("VACUUM"))
    async with database.across() as unit:
        return int((await unit.connection.execute(_BYTES)).scalar_one())


async def _number(database: Database) -> int:
    async with database.across() as unit:
        return int((await unit.connection.execute(_TRANSACTIONS)).scalar_one())


async def per_turn(world: World, number: int) -> tuple[float, float]:
    """Commits that a turn without tools writes (what the processes do aside is in it), and KiB that it leaves."""
    jobs = await conversations(world, number)
    size, first = await _size(world.database), await _number(world.database)
    await stretch(world, world.api, 8, jobs, say)
    commits = await _number(world.database) - first
    return commits / number, (await _size(world.database) - size) / number / 1024


async def fill_queue(database: Database, lane: str) -> None:
    """Queue 50,000 runs of 200 users."""
    owner = await local_owner(database)
    for place in range(BATCHES):
        async with database.across() as unit:
            values = {"workspace": owner.workspace_id, "owners": OWNERS // BATCHES, "batch": f"{lane}-{place}"}
            await unit.connection.execute(text(_FILL), {**values, "each": QUEUED // OWNERS, "lane": lane})
    async with database.across() as unit:
        await unit.connection.execute(text("ANALYZE"))


async def claims(database: Database, number: int, most: int = 1) -> float:
    """The middle time of claims from the queue, in ms, each in a unit of its own (whose commit is not counted)."""
    rooms = {"background": LaneRoom(slots=most, per_user=10, per_agent=0, per_workspace=0)}
    times: list[float] = []
    for _ in range(number):
        async with database.across() as unit:
            began = time.perf_counter()
            claimed = await unit.queue.claim("bench", 600, most, rooms)
            times.append(time.perf_counter() - began)
        assert len(claimed) == most
    return sorted(times)[number // 2] * 1e3
