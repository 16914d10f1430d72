"""An API process that is asked to stop: streams end with a word to come back, runs are handed back, nothing is lost."""

import asyncio
import http.client
import os
import select
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from support.fleet import Fleet
from support.loopback import Loopback
from support.model_server import script


async def test_sigterm_lets_streams_and_waiting_requests_go(
    database_url: str, redis_url: str, tmp_path: Path, model: Loopback
) -> None:
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SIXLANE_LEASE_SECONDS": "3",
        "SIXLANE_SHUTDOWN_SECONDS": "1",
        "OPENAI_API_KEY": "test",
        "OPENAI_BASE_URL": f"{model.url}/v1",
        "DEFAULT_MODEL": "openai:scripted",
    }
    fleet = Fleet(database_url, tmp_path, environment)
    try:
        first, second = await fleet.start("api"), await fleet.start("api")
        async with httpx.AsyncClient(timeout=40) as client:
            ids = [(await client.post(f"{first.url}/conversations", json={})).json()["id"] for _ in range(2)]
            hold = {"text": "slow", "hold_s": 30, "hold_after": 1, "times": 1}
            streamed = asyncio.create_task(
                client.post(
                    f"{first.url}/conversations/{ids[0]}/messages",
                    json={"message": script(hold, mark="down-stream"), "stream": True},
                )
            )
            asked = asyncio.create_task(
                client.post(
                    f"{first.url}/conversations/{ids[1]}/messages", json={"message": script(hold, mark="down-json")}
                )
            )
            for mark in ("down-stream", "down-json"):
                await asyncio.to_thread(model.wait, f"marker={mark}&phase=holding")
            began = time.monotonic()
            os.kill(first.pid, signal.SIGTERM)
            stream, answer = await streamed, await asked
            assert await fleet.stop(first) == 0
            assert time.monotonic() - began < 15
            assert stream.text.rstrip().endswith("retry: 1000")
            assert "run.completed" not in stream.text
            assert (answer.status_code, answer.json()["status"]) == (202, "queued")
            await fleet.start("worker")
            for run_id in (answer.json()["run_id"], stream.headers["location"].rsplit("/", 1)[1]):
                events = await client.get(f"{second.url}/runs/{run_id}/events")
                assert "event: run.completed" in events.text
                run = (await client.get(f"{second.url}/runs/{run_id}")).json()
                assert (run["status"], run["attempt"], run["result"]) == ("completed", 1, "slow")
    finally:
        await fleet.close()


def alive(connection: http.client.HTTPConnection) -> bool:
    """Whether the server answers on this very connection."""
    connection.auto_open = 0 if connection.sock is not None else 1
    connection.request("GET", "/health/live")
    answer = connection.getresponse()
    answer.read()
    return answer.status == 200


async def test_an_idle_connection_outlives_what_clients_keep(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """httpx, and with it the clients of OpenAI and Anthropic, use a connection again for up to 5 s."""
    fleet = Fleet(database_url, tmp_path, {"DATABASE_URL": database_url, "REDIS_URL": redis_url})
    try:
        door = await fleet.start("api")
        connection = http.client.HTTPConnection(urlsplit(door.url).netloc, timeout=10)
        assert await asyncio.to_thread(alive, connection)
        assert connection.sock is not None
        readable, _, _ = await asyncio.to_thread(select.select, [connection.sock], [], [], 6)
        assert readable == [], "the server has closed it"
        assert await asyncio.to_thread(alive, connection)
        stopped = time.monotonic()
        assert await fleet.stop(door) == 0
        assert time.monotonic() - stopped < 4, "an idle connection held the end up"
        connection.close()
    finally:
        await fleet.close()
