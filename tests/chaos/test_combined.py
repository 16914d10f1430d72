"""A crash, a stream and a cancellation in one run: one reader sees it whole, and the conversation goes on."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.audit import Audit
from support.fleet import LEASE_SECONDS, Member, theatre
from support.ledger import check_history
from support.load import targets
from support.patient import PatientClient

pytestmark = pytest.mark.xdist_group("patience")

STEPS = [
    {"tools": [{"name": "http_post", "args": {"target": "once", "data": {"note": "MARK: one.0"}}}]},
    {"text": "word " * 400, "chunks": 400, "delay_ms": 50},
]
CANCEL_SECONDS = 1.5
"""A second for the run, half of one for the test to hear of it on a busy machine."""


async def test_a_streaming_run_survives_a_crash_and_is_cancelled(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with theatre(database_url, redis_url, tmp_path) as world:
        audit, client = Audit(database_url), PatientClient(world.fleet)
        await audit.install()
        first, other, _ = await asyncio.gather(*(world.fleet.start(role) for role in ("api", "api", "worker")))
        async with contextlib.aclosing(client), httpx.AsyncClient(timeout=20) as http:
            made = await client.post("/conversations", {"targets": targets(world.receiver)})
            path = f"/conversations/{made['id']}/messages"
            message = {"message": f"SCRIPT: {json.dumps(STEPS)}\nMARK: one", "stream": True}
            seen: list[dict[str, Any]] = []
            with contextlib.suppress(httpx.TransportError):
                async for event in events(http, "POST", first, path, json=message):
                    seen.append(event)
                    if event["type"] == "message.delta" and event["text"].startswith("word"):
                        break
            run_id = seen[0]["run_id"]
            world.fleet.kill(first)
            resumed = f"/runs/{run_id}/events?starting_after={seen[-1]['seq']}"
            cancelled = 0.0
            async for event in events(http, "GET", other, resumed):
                seen.append(event)
                if not cancelled and event["type"] == "message.delta" and event["attempt"] == 2:
                    answer = await http.post(f"{other.url}/runs/{run_id}/cancel")
                    assert answer.status_code == 202, answer.text
                    cancelled = asyncio.get_running_loop().time()
            took = asyncio.get_running_loop().time() - cancelled
            print(f"\n{len(seen)} events over 2 attempts, cancelled in {took:.2f} s")
            assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
            assert [event["attempt"] for event in seen] == sorted(event["attempt"] for event in seen)
            assert (seen[-1]["type"], seen[-1]["status_reason"]) == ("run.cancelled", "cancelled_by_request")
            assert took <= CANCEL_SECONDS
            run = await client.get(f"/runs/{run_id}")
            assert (run["status"], run["attempt"]) == ("cancelled", 2)
            assert world.receiver.get("/_effects")["by_marker"] == {"one.0": 1}
            assert [entry["step"] for entry in world.model.log()] == [0, 1, 1]
            again = await client.post(path, {"message": 'SCRIPT: [{"text": "Here I am."}]\nMARK: two'})
            assert (again["status"], again["message"]["content"]) == ("completed", "Here I am.")
            entries = await audit.rows("SELECT message FROM entries ORDER BY id")
            check_history([json.loads(row["message"]) for row in entries])


async def test_a_decision_to_repeat_is_good_for_one_repetition(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with theatre(database_url, redis_url, tmp_path) as world:
        client = PatientClient(world.fleet)
        _, worker = await asyncio.gather(*(world.fleet.start(role) for role in ("api", "worker")))
        url = f"{world.receiver.url}/?hold_s=20"
        target = {"name": "held", "url": url, "approval": "allow", "idempotent": False}
        post = {"tools": [{"name": "http_post", "args": {"target": "held", "data": {"note": "MARK: once"}}}]}
        prompt = f"SCRIPT: {json.dumps([post, {'text': 'Done.'}])}\nMARK: once"
        async with contextlib.aclosing(client):
            task = {"task_type": "delegation", "prompt": prompt, "targets": [target]}
            run_id = (await client.post("/tasks", task))["last_run_id"]
            for number, decision in ((1, "repeat"), (2, "happened")):
                await asyncio.to_thread(world.receiver.wait, f"marker=once&phase=started&count={number}")
                world.fleet.kill(worker)
                worker = await world.fleet.start("worker")
                approval = await asked(client, run_id)
                assert len(world.receiver.log()) == number
                await client.post(f"/approvals/{approval['id']}/decision", {"decision": decision})
            run = await client.ended(run_id)
        assert (run["status"], run["result"], len(world.receiver.log())) == ("completed", "Done.", 2)


async def asked(client: PatientClient, run_id: str) -> dict[str, Any]:
    """The question about the outcome that the run waits for."""
    async with asyncio.timeout(1.5 * LEASE_SECONDS + 5):
        while not (pending := (await client.get(f"/approvals?status=pending&run_id={run_id}"))["data"]):
            await asyncio.sleep(0.05)
    assert [one["kind"] for one in pending] == ["unknown_outcome"]
    return pending[0]


async def events(
    http: httpx.AsyncClient, method: str, api: Member, path: str, **content: Any
) -> AsyncGenerator[dict[str, Any]]:
    """The events of a stream, as they come."""
    headers = {"Accept": "text/event-stream"}
    async with http.stream(method, api.url + path, headers=headers, **content) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))
