"""Webhooks while API processes are killed: what was answered is there, and what was sent again is there once."""

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from support.fleet import Fleet, Member, theatre
from support.webhook_signing import SECRET, standard

pytestmark = pytest.mark.xdist_group("chaos")

EVENTS, SENDERS, KILLS = 600, 8, 4


async def test_killed_doors_lose_no_accepted_event(database_url: str, redis_url: str, tmp_path: Path) -> None:
    rng = random.Random(11)
    async with theatre(database_url, redis_url, tmp_path) as world, httpx.AsyncClient(timeout=10) as client:
        doors = list(await asyncio.gather(world.fleet.start("api"), world.fleet.start("api")))
        wanted = {"task_type": "triggered", "prompt": "Go", "trigger_config": {"scheme": "standard", "secret": SECRET}}
        task = (await client.post(f"{doors[0].url}/tasks", json=wanted)).json()
        answered: dict[int, set[tuple[str, str]]] = {}
        again = 0

        async def deliver(number: int) -> None:
            nonlocal again
            body = json.dumps({"number": number}).encode()
            while True:
                headers = standard(body, at=int(time.time()), event=f"msg_{number}")
                try:
                    url = f"{rng.choice(doors).url}/tasks/webhooks/{task['id']}"
                    answer = await client.post(url, content=body, headers=headers)
                except httpx.TransportError:
                    again += 1
                    await asyncio.sleep(0.02)  # as a sender would, before it tries again
                    continue
                if answer.status_code == 503:
                    again += 1
                    continue
                assert answer.status_code in (200, 202), answer.text
                taken: dict[str, Any] = answer.json()
                answered.setdefault(number, set()).add((taken["delivery_id"], taken["run_id"]))
                return

        jobs = iter([number for number in range(EVENTS) for _ in range(rng.choice((1, 1, 2)))])

        async def sender() -> None:
            for number in jobs:
                await deliver(number)

        sending = asyncio.gather(*(sender() for _ in range(SENDERS)))
        killed = 0
        while killed < KILLS:
            before = len(answered)
            while len(answered) < min(EVENTS, before + EVENTS // (KILLS + 1)) and not sending.done():
                await asyncio.sleep(0.005)
            await _replace(world.fleet, doors, killed % 2)
            killed += 1
        await sending

        connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
        try:
            rows = await connection.fetch("SELECT id::text, dedup_key, run_id::text FROM inbound_events")
            runs = {row[0] for row in await connection.fetch("SELECT id::text FROM runs")}
        finally:
            await connection.close()
    print(f"\n{EVENTS} events, {killed} doors killed, {again} requests sent again")
    assert set(answered) == set(range(EVENTS))
    assert all(len(told) == 1 for told in answered.values())
    told = {(f"id:msg_{number}", *next(iter(ids))) for number, ids in answered.items()}
    assert {(row["dedup_key"], row["id"], row["run_id"]) for row in rows} == told
    assert runs == {row["run_id"] for row in rows}


async def _replace(fleet: Fleet, doors: list[Member], place: int) -> None:
    """Kill one door and open another in its place; the senders learn of it by themselves."""
    fleet.kill(doors[place])
    doors[place] = await fleet.start("api")
