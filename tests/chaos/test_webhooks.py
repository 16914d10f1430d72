"""Webhooks while API processes are killed: what was answered is there, and what was sent again is there once."""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from support.fleet import Fleet, Member, theatre
from support.webhook_signing import SECRET, standard

pytestmark = pytest.mark.xdist_group("chaos")

EVENTS, SENDERS, KILLS = 600, 8, 4


@dataclass
class Senders:
    """Senders of one webhook's events, who try again until they are told; `answered` is what they were told."""

    doors: list[Member]
    task_id: str
    client: httpx.AsyncClient
    rng: random.Random
    answered: dict[int, set[tuple[str, str]]] = field(default_factory=dict[int, set[tuple[str, str]]])
    again: int = 0

    async def send(self, jobs: Iterator[int]) -> None:
        """Send the events that are left, one after the other."""
        for number in jobs:
            while (taken := await self._try(number)) is None:
                self.again += 1
            self.answered.setdefault(number, set()).add((taken["delivery_id"], taken["run_id"]))

    async def _try(self, number: int) -> dict[str, Any] | None:
        body = json.dumps({"number": number}).encode()
        headers = standard(body, at=int(time.time()), event=f"msg_{number}")
        url = f"{self.rng.choice(self.doors).url}/tasks/webhooks/{self.task_id}"
        try:
            answer = await self.client.post(url, content=body, headers=headers)
        except httpx.TransportError:
            await asyncio.sleep(0.02)  # as a sender would, before it tries again
            return None
        if answer.status_code == 503:
            return None
        assert answer.status_code in (200, 202), answer.text
        return answer.json()


async def stored(database_url: str) -> tuple[set[tuple[str, str, str]], set[str]]:
    """The events that are kept, with their runs, and all runs."""
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        rows = await connection.fetch("SELECT dedup_key, id::text, run_id::text FROM inbound_events")
        runs = await connection.fetch("SELECT id::text FROM runs")
    finally:
        await connection.close()
    return {(row[0], row[1], row[2]) for row in rows}, {row[0] for row in runs}


async def test_killed_doors_lose_no_accepted_event(database_url: str, redis_url: str, tmp_path: Path) -> None:
    rng = random.Random(11)
    async with theatre(database_url, redis_url, tmp_path) as world, httpx.AsyncClient(timeout=10) as client:
        doors = list(await asyncio.gather(world.fleet.start("api"), world.fleet.start("api")))
        wanted = {"task_type": "triggered", "prompt": "Go", "trigger_config": {"scheme": "standard", "secret": SECRET}}
        task = (await client.post(f"{doors[0].url}/tasks", json=wanted)).json()
        senders = Senders(doors, task["id"], client, rng)
        answered = senders.answered
        jobs = iter([number for number in range(EVENTS) for _ in range(rng.choice((1, 1, 2)))])
        sending = asyncio.gather(*(senders.send(jobs) for _ in range(SENDERS)))
        killed = 0
        while killed < KILLS:
            before = len(answered)
            while len(answered) < min(EVENTS, before + EVENTS // (KILLS + 1)) and not sending.done():
                await asyncio.sleep(0.005)
            await _replace(world.fleet, doors, killed % 2)
            killed += 1
        await sending
        kept, runs = await stored(database_url)
    print(f"\n{EVENTS} events, {killed} doors killed, {senders.again} requests sent again")
    assert set(answered) == set(range(EVENTS))
    assert all(len(told) == 1 for told in answered.values())
    told = {(f"id:msg_{number}", *next(iter(ids))) for number, ids in answered.items()}
    assert kept == told
    assert runs == {run_id for _, _, run_id in kept}


async def _replace(fleet: Fleet, doors: list[Member], place: int) -> None:
    """Kill one door and open another in its place; the senders learn of it by themselves."""
    fleet.kill(doors[place])
    doors[place] = await fleet.start("api")
