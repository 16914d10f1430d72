"""Streams over HTTP: frames, reconnecting, stopping, leaving."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from support.event_process import Process, started, talk
from support.event_runs import RunLedger
from support.valkey import OwnValkey, own_valkey

from app.api.stream import StartingAfter, event_stream
from app.database.connection import Database
from app.models.run import Run
from app.services.event_log import EventLog


@pytest.fixture
async def ledger(database: Database) -> RunLedger:
    return await RunLedger.of(database)


@pytest.fixture
async def valkey() -> AsyncIterator[OwnValkey]:
    async with own_valkey() as server:
        yield server


@pytest.fixture
async def here(database: Database, valkey: OwnValkey) -> AsyncIterator[Process]:
    async with started(Process(database, valkey)) as process:
        yield process


@pytest.fixture
async def there(database: Database, valkey: OwnValkey) -> AsyncIterator[Process]:
    async with started(Process(database, valkey)) as process:
        yield process


@contextlib.asynccontextmanager
async def served(process: Process, run: Run) -> AsyncIterator[str]:
    app = FastAPI()

    @app.get("/events")
    async def events(after: StartingAfter) -> Any:
        return event_stream(process.follow(run, after))

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/events"
    finally:
        server.should_exit = True
        await task


async def sse(url: str, headers: dict[str, str] | None = None) -> tuple[httpx.Headers, list[dict[str, str]], str]:
    async with httpx.AsyncClient(timeout=20) as client:
        answered = await client.get(url, headers=headers or {})
    assert answered.status_code == 200
    frames = [
        dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        for block in answered.text.split("\n\n")
        if block.strip()
    ]
    return answered.headers, [frame for frame in frames if "id" in frame], answered.text


def parsed(frame: dict[str, str]) -> dict[str, Any]:
    """A frame with its data read; the ledger orders keys its own way."""
    return {**frame, "data": json.loads(frame["data"])}


async def test_frames_over_http_and_reconnecting(ledger: RunLedger, here: Process, there: Process) -> None:
    run = await ledger.running()
    log = await EventLog.open(run, here.hub, ledger.database)
    async with served(there, run) as url:
        writing = asyncio.create_task(talk(ledger, run, log, 10))
        headers, found, body = await sse(url)
        await writing
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"].startswith("no-cache")
        assert headers["x-accel-buffering"] == "no"
        assert body.startswith("retry: 1000\n\n")
        assert found[-1]["event"] == "run.completed"
        for frame in found:
            event = json.loads(frame["data"])
            assert (str(event["seq"]), event["type"]) == (frame["id"], frame["event"])
        _, rest, _ = await sse(url, {"Last-Event-ID": "3"})
        assert [parsed(frame) for frame in rest] == [parsed(frame) for frame in found[3:]]
        _, rest, _ = await sse(url + "?starting_after=5", {"Last-Event-ID": "3"})
        assert [parsed(frame) for frame in rest] == [parsed(frame) for frame in found[5:]]


async def test_streams_end_with_a_retry_when_the_process_stops(ledger: RunLedger, here: Process) -> None:
    run = await ledger.running()
    log = await EventLog.open(run, here.hub, ledger.database)
    log.emit("run.started", model="demo", agent="assistant")
    async with served(here, run) as url:
        asking = asyncio.create_task(sse(url))
        async with asyncio.timeout(5):
            while not here.hub._feeds:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        here.hub.close_feeds()
        _, found, body = await asking
        assert [frame["event"] for frame in found] == ["run.started"]
        assert body.endswith("retry: 1000\n\n")
    log.close()


async def test_a_client_that_leaves_leaves_nothing_behind(ledger: RunLedger, here: Process, there: Process) -> None:
    run = await ledger.running()
    log = await EventLog.open(run, here.hub, ledger.database)
    async with served(there, run) as url, httpx.AsyncClient(timeout=20) as client:
        async with client.stream("GET", url) as answered:
            async for _ in answered.aiter_raw():
                break
        for word in range(200):
            if not there.hub._feeds:
                break
            log.delta(f"{word} ")
            await asyncio.sleep(0.02)
        assert not there.hub._feeds
    await ledger.end(run, log)
