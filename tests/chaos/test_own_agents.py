"""An agent of the operator's own under kill -9: what it has done is not done again."""

import asyncio
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from support.fleet import theatre
from support.model_server import script

pytestmark = pytest.mark.xdist_group("chaos")

EXAMPLE = Path(__file__).parents[1] / "support" / "own_agents.py"


async def test_a_worker_falls_after_the_effect_of_an_own_agent(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with theatre(database_url, redis_url, tmp_path, SIXLANE_AGENTS=str(EXAMPLE)) as world:
        hook = {"BOOKS_URL": f"{world.receiver.url}/hook"}
        api, worker = await asyncio.gather(world.fleet.start("api"), world.fleet.start("worker", **hook))
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as client:
            run_id = await begin(client)
            await approve(client, run_id)
            await asyncio.to_thread(world.model.wait, "marker=books&step=2&phase=holding")
            world.fleet.kill(worker)
            await world.fleet.start("worker", **hook)
            world.model.release()
            await client.get(f"/runs/{run_id}/events")
            run = (await client.get(f"/runs/{run_id}")).json()
        assert (run["status"], run["result"], run["agent"]) == ("completed", "Done.", "clerk")
        effects = world.receiver.get("/_effects")["by_key"]
        assert sum(count for key, count in effects.items() if run_id in key) == 1
        async with world.fleet.database.across() as unit:
            workspace = await unit.directory.workspace("default")
        async with world.fleet.database.begin(workspace.id) as unit:
            journal = await unit.journal.of_run(UUID(run_id))
        assert sorted((one.tool, one.effect, one.status) for one in journal) == [
            ("balance", False, "done"),
            ("remind", True, "done"),
        ]


async def begin(client: httpx.AsyncClient) -> str:
    prompt = script(
        {"tools": [{"name": "balance", "args": {"customer": "Charles Babbage"}}]},
        {"tools": [{"name": "remind", "args": {"customer": "Charles Babbage"}}]},
        {"text": "Done.", "hold_s": 20, "times": 1},
        mark="books",
    )
    made = await client.post("/tasks", json={"task_type": "delegation", "agent": "clerk", "prompt": prompt})
    assert made.status_code == 201, made.text
    return made.json()["last_run_id"]


async def approve(client: httpx.AsyncClient, run_id: str) -> None:
    async with asyncio.timeout(20):
        while not (pending := (await client.get("/approvals", params={"run_id": run_id})).json()["data"]):
            await asyncio.sleep(0.05)
    assert (pending[0]["tool"], pending[0]["arguments"]) == ("remind", {"customer": "Charles Babbage"})
    answer = await client.post(f"/approvals/{pending[0]['id']}/decision", json={"decision": "approve"})
    assert answer.status_code == 200, answer.text
