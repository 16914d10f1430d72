"""SIGTERM: runs get their time, and what is not done by then is handed back at its last checkpoint."""

import asyncio
import contextlib
import json
import signal
import time
from pathlib import Path

import pytest
from support.audit import Audit
from support.fleet import Role, Theatre, theatre
from support.patient import PatientClient

pytestmark = pytest.mark.xdist_group("patience")

GRACE_SECONDS = 1
"""What the fleet's processes give their runs."""
EXIT_SECONDS = GRACE_SECONDS + 7
ANSWER = "The long answer " * 8 + "ends here."


def prompt(mark: str) -> str:
    """A calculation, then an answer that is held back in the middle for longer than anyone waits."""
    steps = [
        {"tools": [{"name": "calculator", "args": {"expression": "6 * 7"}}]},
        {"text": ANSWER, "chunks": 8, "hold_s": 60, "hold_after": 4, "times": 1},
    ]
    return f"SCRIPT: {json.dumps(steps)}\nMARK: {mark}"


async def test_a_worker_hands_its_run_back(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with theatre(database_url, redis_url, tmp_path, SIXLANE_SHUTDOWN_SECONDS=str(GRACE_SECONDS)) as world:
        audit, client = Audit(database_url), PatientClient(world.fleet)
        await audit.install()
        worker, _ = await asyncio.gather(*(world.fleet.start(role) for role in ("worker", "api")))
        async with contextlib.aclosing(client):
            task = await client.post("/tasks", {"task_type": "delegation", "prompt": prompt("held")})
            run_id = task["last_run_id"]
            await asyncio.to_thread(world.model.wait, "marker=held&step=1&phase=holding")
            began = time.monotonic()
            assert await world.fleet.stop(worker, EXIT_SECONDS) == 0
            assert time.monotonic() - began >= GRACE_SECONDS - 0.2
            await handed_back(client, audit, run_id)
            await finished_by_another(world, client, audit, run_id)


async def test_an_api_hands_its_stream_back(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with theatre(database_url, redis_url, tmp_path, SIXLANE_SHUTDOWN_SECONDS=str(GRACE_SECONDS)) as world:
        audit, client = Audit(database_url), PatientClient(world.fleet)
        await audit.install()
        api = await world.fleet.start("api")
        async with contextlib.aclosing(client):
            made = await client.post("/conversations", {})
            body = {"message": prompt("held"), "stream": True}
            reading = asyncio.create_task(client.stream(f"/conversations/{made['id']}/messages", body, "k"))
            await asyncio.to_thread(world.model.wait, "marker=held&step=1&phase=holding")
            await world.fleet.start("api")
            assert await world.fleet.stop(api, EXIT_SECONDS) in (0, -signal.SIGTERM)
            (row,) = await audit.rows("SELECT id FROM runs")
            await handed_back(client, audit, str(row["id"]))
            await finished_by_another(world, client, audit, str(row["id"]))
            seen = await reading
        assert [event["seq"] for event in seen.events] == list(range(1, len(seen.events) + 1))
        types = [event["type"] for event in seen.events]
        assert "run.snapshot" not in types
        assert types[-1] == "run.completed"
        assert seen.resumed >= 1


async def test_what_is_nearly_done_is_let_finish(database_url: str, redis_url: str, tmp_path: Path) -> None:
    roles: tuple[Role, ...] = ("api", "worker")
    async with theatre(database_url, redis_url, tmp_path, SIXLANE_SHUTDOWN_SECONDS=str(GRACE_SECONDS)) as world:
        client = PatientClient(world.fleet)
        _, worker = await asyncio.gather(*(world.fleet.start(role) for role in roles))
        async with contextlib.aclosing(client):
            script = json.dumps([{"text": ANSWER, "delay_ms": 500}])
            task = await client.post("/tasks", {"task_type": "delegation", "prompt": f"SCRIPT: {script}\nMARK: near"})
            await asyncio.to_thread(world.model.wait, "marker=near")
            assert await world.fleet.stop(worker, EXIT_SECONDS) == 0
            run = await client.get(f"/runs/{task['last_run_id']}")
            assert (run["status"], run["attempt"], run["result"]) == ("completed", 1, ANSWER)


async def handed_back(client: PatientClient, audit: Audit, run_id: str) -> None:
    """The run is queued as if nobody had begun the attempt, and nothing of the answer is in its log."""
    run = await client.get(f"/runs/{run_id}")
    assert (run["status"], run["attempt"]) == ("queued", 0), run
    entries = await audit.rows("SELECT message FROM entries ORDER BY id")
    kinds = [json.loads(row["message"])["kind"] for row in entries]
    assert kinds[:2] == ["request", "response"]
    assert "The long answer" not in str([row["message"] for row in entries[1:]])


async def finished_by_another(world: Theatre, client: PatientClient, audit: Audit, run_id: str) -> None:
    """A worker that starts now ends the run with the whole answer, and asks for nothing that is stored."""
    await world.fleet.start("worker")
    run = await client.ended(run_id)
    assert (run["status"], run["attempt"], run["result"]) == ("completed", 1, ANSWER)
    assert [entry["step"] for entry in world.model.log()] == [0, 1, 1]
    (calls,) = await audit.rows("SELECT count(*) AS n FROM tool_calls WHERE status = 'done'")
    assert calls["n"] == 1
