"""Frozen processes, thawed after their lease: others have taken their runs over, and nothing that comes late counts."""

import asyncio
import contextlib
import json
import random
import time
from pathlib import Path
from uuid import UUID

import pytest
from support.audit import Audit
from support.fleet import LEASE_SECONDS, Member, Role, theatre
from support.load import MOSTLY_TASKS, Load, deciding
from support.patient import PatientClient
from support.verdict import no_effect_twice, no_step_twice, nothing_lost

pytestmark = pytest.mark.xdist_group("patience")

FLEET: tuple[Role, ...] = ("api", "api", "worker", "worker", "worker")
CLIENTS = 16
BUSY_RUNS = 5
_ACTIVITY = """
SELECT pid, state, wait_event_type, wait_event, age(clock_timestamp(), state_change)::text AS since, left(query, 150)
  FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'
"""


async def test_what_thawed_processes_write_late_is_refused(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with theatre(database_url, redis_url, tmp_path) as world:
        audit, client = Audit(database_url), PatientClient(world.fleet)
        await audit.install()
        members = await asyncio.gather(*(world.fleet.start(role) for role in FLEET))
        cold = [members[0], *members[2:4]]
        load = Load(client, world.receiver, random.Random(3), doors=MOSTLY_TASKS)
        thawed = asyncio.Event()
        async with contextlib.aclosing(client), deciding(client, world.receiver), asyncio.TaskGroup() as group:
            group.create_task(load.run(CLIENTS, thawed.is_set))
            await busy(audit, cold)
            for member in cold:
                world.fleet.freeze(member)
            held = {member.owner: await audit.held_by(member.owner) for member in cold}
            await taken_over(audit, held)
            for member in cold:
                world.fleet.thaw(member)
            thaw = time.time()
            thawed.set()
        lost = {run_id: fence for runs in held.values() for run_id, fence in runs.items()}
        print(f"\nruns: {len(load.orders)}, frozen with {len(lost)} of them")
        assert world.fleet.gone() == []
        await nothing_lost(audit, load.orders)
        await no_step_twice(world, audit)
        await no_effect_twice(world, audit, load.orders)
        await nothing_late(audit, lost, thaw)
        await noticed(members, lost)


async def busy(audit: Audit, members: list[Member]) -> None:
    """Until each of them holds runs, and all together enough."""
    async with asyncio.timeout(20):
        while True:
            held = [len(await audit.held_by(member.owner)) for member in members]
            if all(held) and sum(held) >= BUSY_RUNS:
                return
            await asyncio.sleep(0.02)


async def taken_over(audit: Audit, held: dict[str, dict[UUID, int]]) -> None:
    """Until every run has a later holder, or had ended just before the frost."""
    lost = {run_id: fence for runs in held.values() for run_id, fence in runs.items()}
    deadline = time.monotonic() + 1.5 * LEASE_SECONDS + 5
    while lost:
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody took over {lost}; the server: {await audit.rows(_ACTIVITY)}")
        await asyncio.sleep(0.1)
        moves = await audit.moves()
        lost = {run_id: fence for run_id, fence in lost.items() if moves[run_id][-1].fence == fence}


async def nothing_late(audit: Audit, lost: dict[UUID, int], thaw: float) -> None:
    """No entry, event or result of an attempt stands behind one of its successor's."""
    late = 0
    for run_id, fence in lost.items():
        entries = await audit.rows(
            "SELECT message->>'run_id' AS by, extract(epoch FROM created_at)::float8 AS at FROM entries"
            " WHERE run_id = $1 ORDER BY id",
            run_id,
        )
        fences = [int(row["by"].rsplit(":", 1)[1]) for row in entries if row["by"]]
        assert fences == sorted(fences), f"{run_id}: {fences}"
        late += sum(row["at"] > thaw and row["by"] == f"{run_id}:{fence}" for row in entries)
        rows = await audit.rows("SELECT events FROM run_events WHERE run_id = $1 ORDER BY first_seq", run_id)
        attempts = [event["attempt"] for row in rows for event in json.loads(row["events"])]
        assert attempts == sorted(attempts), f"{run_id}: {attempts}"
        ended = await audit.rows("SELECT fence, status FROM runs WHERE id = $1", run_id)
        assert (ended[0]["status"], ended[0]["fence"] > fence) == ("completed", True)
    print(f"late writes accepted: {late} of {len(lost)} frozen runs")
    assert late == 0


async def noticed(members: list[Member], lost: dict[UUID, int]) -> None:
    """The thawed processes let go of every run that they had held."""
    told = [line for member in members for line in member.log.read_text().splitlines()]
    gone = [line for line in told if any(word in line for word in ("lease_lost", "left_to_its_lease", '"lost"'))]
    found = {run_id for run_id in lost if any(str(run_id) in line for line in gone)}
    print(f"leases found lost: {len(found)} of {len(lost)}")
    assert found == set(lost)
