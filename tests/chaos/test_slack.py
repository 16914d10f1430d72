"""Slack in a storm: each event comes four times, one of them dies, the model is slow, and a worker falls."""

import asyncio
import random
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from support.fleet import Member, theatre
from support.model_server import script
from support.slack_desk import slack_settings
from support.slack_server import FakeSlack, message, request_of, signed, slack_server

pytestmark = pytest.mark.alone

EVENTS, PEOPLE, DELIVERIES, SENDERS = 500, 100, 4, 12


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with slack_server() as server:
        yield server


def said(number: int) -> dict[str, Any]:
    person = number % PEOPLE
    text = script({"text": f"Answer {number}.", "chunks": 4, "delay_ms": 250}, say=f"Question {number}")
    return message(text, user=f"U{person:08d}", channel=f"D{person:08d}")


async def die_after_arrival(door: Member, payload: dict[str, Any]) -> None:
    """Send the request whole and hang up before anything is answered."""
    path, body, kind = request_of("events", payload)
    place = urlsplit(door.url)
    head = "".join(f"{name}: {value}\r\n" for name, value in {**signed(body), "Content-Type": kind}.items())
    _, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode())
    writer.write(body)
    await writer.drain()
    writer.close()


def jobs_in_order(events: list[dict[str, Any]], rng: random.Random) -> list[tuple[dict[str, Any], int]]:
    """Every delivery of every event: mostly in the order that they are said, and again a little later."""
    jobs = [(place, number) for place in range(len(events)) for number in range(DELIVERIES)]
    jobs.sort(key=lambda job: job[0] + job[1] * 20 + rng.random() * 10)
    return [(events[place], number) for place, number in jobs]


async def storm(doors: list[Member], jobs: list[tuple[dict[str, Any], int]], rng: random.Random) -> list[float]:
    """Send everything, some of it only half; how many seconds each acknowledgement took."""
    seconds: list[float] = []
    queue = iter(jobs)

    async def send_all(client: httpx.AsyncClient) -> None:
        for payload, number in queue:
            door = rng.choice(doors)
            if number == 0 and rng.random() < 0.5:
                await die_after_arrival(door, payload)
                continue
            path, body, kind = request_of("events", payload)
            started = time.monotonic()
            answer = await client.post(
                f"{door.url}{path}", content=body, headers={**signed(body), "Content-Type": kind}
            )
            seconds.append(time.monotonic() - started)
            assert answer.status_code == 200, answer.text

    async with httpx.AsyncClient(timeout=10) as client:
        await client.post(f"{doors[0].url}/slack/events", content=b"{}", headers=signed(b"{}"))
        await asyncio.gather(*(send_all(client) for _ in range(SENDERS)))
    return sorted(seconds)


async def runs_at_rest(database_url: str) -> list[asyncpg.Record]:
    """All runs, as soon as none is open, none unsettled, and nothing is left to post."""
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        open_ = "SELECT count(*) FROM runs WHERE completed_at IS NULL"
        due = "SELECT count(*) FROM slack_messages WHERE due_at IS NOT NULL"
        unsettled = "SELECT count(*) FROM runs WHERE settled_at IS NULL"
        async with asyncio.timeout(120):
            while any([await connection.fetchval(one) for one in (open_, due, unsettled)]):
                await asyncio.sleep(0.2)
        return await connection.fetch(
            "SELECT conversation_id, input->>'prompt' AS prompt, started_at, completed_at, status "
            "FROM runs ORDER BY conversation_id, started_at"
        )
    finally:
        await connection.close()


async def test_every_event_is_one_run_however_often_it_comes(
    slack: FakeSlack, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    rng = random.Random(5)
    events = [said(number) for number in range(EVENTS)]
    async with theatre(database_url, redis_url, tmp_path, **slack_settings(slack)) as world:
        fleet = world.fleet
        doors = [await fleet.start("api"), await fleet.start("api")]
        workers = [await fleet.start("worker"), await fleet.start("worker")]
        begun = time.monotonic()
        seconds = await storm(doors, jobs_in_order(events, rng), rng)
        sent_in = time.monotonic() - begun
        fleet.kill(workers[0])
        await fleet.start("worker")
        runs = await runs_at_rest(database_url)
        assert fleet.gone() == []
    p99 = seconds[int(len(seconds) * 0.99)]
    print(f"\n{len(seconds)} acknowledged in {sent_in:.1f} s, p50 {seconds[len(seconds) // 2]:.3f} s, p99 {p99:.3f} s")
    assert len(runs) == EVENTS
    assert {run["status"] for run in runs} == {"completed"}
    assert p99 < 1.0
    for earlier, later in pairwise(runs):
        if earlier["conversation_id"] == later["conversation_id"]:
            assert earlier["completed_at"] <= later["started_at"], "two messages of one person at the same time"
    answers = [one.text for one in slack.said()]
    missing = [number for number in range(EVENTS) if not any(f"Answer {number}." in text for text in answers)]
    assert missing == []
    assert len(answers) <= EVENTS + 1, "a killed worker may repeat one answer, no more"
