"""Research over several workers: side by side it is faster, and kill -9 at random points repeats nothing finished."""

import asyncio
import contextlib
import json
import os
import random
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from support.audit import Audit
from support.fleet import Member, Theatre, theatre
from support.killer import MOST_STRIKES, Strikes, recovery_seconds
from support.model_script import read_marker
from support.model_server import script
from support.patient import PatientClient
from support.research import found, question, reported, say, topic
from support.story import dropped, explained
from support.verdict import SLACK_SECONDS

from app.agents.citations import ref_of

pytestmark = pytest.mark.xdist_group("chaos")

PRICED = "openai:gpt-6.1-terra"
SOURCE = "corpus:tides"
REF = ref_of(SOURCE)
LATENCY_MS = 100
TRIES = 3
SPEED_UP = 3.0
STEPS = 23
KILLS = 20 * int(os.environ.get("SIXLANE_CHAOS_SCALE") or 1)
AT_ONCE = 3
PARTS = 3
LEASE_SECONDS = 1.5
PATIENCE_SECONDS = 45 + 2 * MOST_STRIKES * recovery_seconds(LEASE_SECONDS)
"""What a research may take by itself, and all recoveries of itself and of one of its researchers."""


def wanted(mark: str, *, parts: int, steps: int) -> dict[str, Any]:
    """The order of a research whose researchers each ask the model `steps` times, and once more for their finding."""
    read = say("read_source", {"source": SOURCE}, delay_ms=LATENCY_MS)
    think = say("current_time", {}, delay_ms=LATENCY_MS)
    report = script(reported(f"Tides rise [{REF}].", delay_ms=LATENCY_MS))
    last = found(f"It rises.\n{report}\nSo it is.", REF, delay_ms=LATENCY_MS)
    work = [read, *[think] * (steps - 1), last]
    prompt = topic(*(question(f"{mark}p{n}", *work) for n in range(parts)), mark=mark, delay_ms=LATENCY_MS)
    return {"task_type": "research", "prompt": prompt, "options": {"sources": ["corpus"]}}


async def carried_out(client: PatientClient, body: dict[str, Any]) -> dict[str, Any]:
    """Order it and wait for its end."""
    task = await client.post("/tasks", body, key=read_marker(body["prompt"]))
    run = await client.ended(task["last_run_id"])
    assert (run["status"], run["status_detail"]) == ("completed", None), run
    assert run["result"]["markdown"].endswith("[1].\n\n## Sources\n\n1. Tides (corpus:tides)"), run["result"]
    return run


@pytest.mark.alone
async def test_four_researchers_are_three_times_as_fast_as_one(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """With 100 ms for each answer of the model; the best of some tries counts."""
    async with (
        theatre(database_url, redis_url, tmp_path) as world,
        contextlib.aclosing(PatientClient(world.fleet)) as client,
    ):
        _, alone = await asyncio.gather(
            world.fleet.start("api"), world.fleet.start("worker", SIXLANE_WORKER_CONCURRENCY="1")
        )

        async def seconds(mark: str) -> float:
            began = time.monotonic()
            await carried_out(client, wanted(mark, parts=4, steps=STEPS))
            return time.monotonic() - began

        serial = await seconds("serial")
        await asyncio.gather(world.fleet.start("worker"), world.fleet.start("worker"))
        await world.fleet.stop(alone)
        best = serial
        for number in range(TRIES):
            best = min(best, await seconds(f"parallel{number}"))
            if serial / best >= SPEED_UP:
                break
        print(f"\none after the other {serial:.2f} s, side by side {best:.2f} s: {serial / best:.2f} times as fast")
        assert serial / best >= SPEED_UP


async def test_kills_repeat_nothing_that_was_finished(database_url: str, redis_url: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("SIXLANE_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"\nSIXLANE_CHAOS_SEED={seed}")
    rng = random.Random(seed)
    settings = {
        "DEFAULT_MODEL": PRICED,
        "SIXLANE_LEASE_SECONDS": str(LEASE_SECONDS),
        "SIXLANE_CAP_USER_RESEARCH": "0",
    }
    async with theatre(database_url, redis_url, tmp_path, **settings) as world:
        audit = Audit(database_url)
        await audit.install()
        await asyncio.gather(*(world.fleet.start(role) for role in ("api", "worker", "worker", "worker")))
        async with contextlib.aclosing(PatientClient(world.fleet, PATIENCE_SECONDS)) as client:
            async with explained(audit, world.fleet), asyncio.TaskGroup() as group:
                struck = group.create_task(strike(world, audit, rng))
                lanes = [group.create_task(keep_on(client, f"r{lane}", struck)) for lane in range(AT_ONCE)]
            done = [lane.result() for lane in lanes]
            print(f"leases lost without a blow: {len(dropped(await audit.moves(), world.fleet))}")
            runs = [run for runs in done for run in runs]
            print(f"{len(runs)} pieces of research, {KILLS} kills of workers that held runs")
            assert len(world.fleet.fallen) == KILLS
            await nothing_finished_twice(world, audit, runs)
            await costs_add_up(audit, client, runs)


async def strike(world: Theatre, audit: Audit, rng: random.Random) -> None:
    """Kill workers that hold runs, at random moments; whoever falls is replaced."""
    strikes = Strikes(audit)
    async with asyncio.TaskGroup() as replacing:
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.02, 0.4))
            member = rng.choice(await holders(world, audit, strikes))
            world.fleet.kill(member)
            await strikes.fallen(member.owner)
            replacing.create_task(world.fleet.start("worker"))


async def holders(world: Theatre, audit: Audit, strikes: Strikes) -> list[Member]:
    """Workers that hold runs and may fall, as soon as there are any and another one is left beside them."""
    while True:
        ready = world.fleet.of("worker")
        holding = [one for one in ready if await audit.held_by(one.owner) and not await strikes.spare(one.owner)]
        if holding and len(ready) > 1:
            return holding
        await asyncio.sleep(0.02)


async def keep_on(client: PatientClient, lane: str, struck: "asyncio.Task[None]") -> list[dict[str, Any]]:
    """One piece of research after the other, until nobody strikes any more."""
    runs: list[dict[str, Any]] = []
    while not struck.done() or not runs:
        runs.append(await carried_out(client, wanted(f"{lane}n{len(runs)}", parts=PARTS, steps=3)))
    return runs


async def nothing_finished_twice(world: Theatre, audit: Audit, runs: list[dict[str, Any]]) -> None:
    """Every researcher was begun once, was never claimed after its end, and no stored step was asked for again."""
    moves, stored, marks = await audit.moves(), await audit.responses(), await audit.marks()
    children = await audit.rows("SELECT id, parent_run_id FROM runs WHERE trigger = 'sub_run'")
    begun = Counter(str(row["parent_run_id"]) for row in children)
    assert begun == {run["id"]: PARTS for run in runs}
    for row in children:
        after = [move.status for move in moves[row["id"]]]
        assert after.count("completed") == 1, after
        assert after[-1] == "completed", after
    log = world.model.log()
    for entry in log:
        if "p" not in entry["marker"]:
            continue  # the planner's and the writer's
        done = stored[marks[entry["marker"]]]
        late = entry["started_at"] - done[entry["step"]]
        assert late <= SLACK_SECONDS, f"step {entry['step']} of {entry['marker']} was asked {late:.3f} s too late"
    for run in runs:
        own = UUID(run["id"])
        asked = sum(marks[entry["marker"]] == own for entry in log)
        fences = max(move.fence for move in moves[own])
        assert asked <= fences, f"planner and writer were asked {asked} times in {fences} attempts"
    steps = sum(map(len, stored.values()))
    print(f"repeated finished steps: 0 of {len(log)} model requests for {steps} steps, {len(children)} sub-runs")


async def costs_add_up(audit: Audit, client: PatientClient, runs: list[dict[str, Any]]) -> None:
    """What a research cost is the sum of its parts, and every stored step was paid for once."""
    rows = await audit.rows("SELECT id, coalesce(parent_run_id, id) AS top, usage FROM runs")
    stored = await audit.responses()
    for run in runs:
        parts = {row["id"]: json.loads(row["usage"]) for row in rows if str(row["top"]) == run["id"]}
        assert len(parts) == 1 + PARTS
        assert Decimal(run["total_usage"]["cost_usd"]) == sum(Decimal(used["cost_usd"]) for used in parts.values()) > 0
        assert run["total_usage"]["requests"] == sum(len(stored[part]) for part in parts) == 2 + PARTS * 4
    everything = await client.get("/usage")
    assert Decimal(everything["usage"]["cost_usd"]) == sum(Decimal(run["total_usage"]["cost_usd"]) for run in runs)
