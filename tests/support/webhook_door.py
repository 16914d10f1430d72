"""A triggered task and its door, as the owner, a sender and a stranger use them."""

import json
import time
from typing import Any

import httpx
from fastapi import FastAPI


def now() -> int:
    """The time in whole seconds."""
    return int(time.time())


def outside(app: FastAPI, host: str = "agents.example", peer: str = "192.0.2.7") -> httpx.AsyncClient:
    """A client from somewhere else."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 5000))
    return httpx.AsyncClient(transport=transport, base_url=f"https://{host}", timeout=30)


async def make(client: httpx.AsyncClient, prompt: str = "Process it", **trigger: Any) -> dict[str, Any]:
    """A triggered task."""
    body = {"task_type": "triggered", "prompt": prompt, "trigger_config": trigger}
    answer = await client.post("/tasks", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def send(
    client: httpx.AsyncClient, task: dict[str, Any], body: bytes | Any = b"{}", **headers: str
) -> httpx.Response:
    """An event, as its sender would send it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post(f"/tasks/webhooks/{task['id']}", content=raw, headers=headers)


async def deliveries(client: httpx.AsyncClient, task: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    """What is kept of a task's events."""
    answer = await client.get(f"/tasks/{task['id']}/webhook/deliveries", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def move_clock(app: FastAPI, by: str) -> None:
    """Let the ledger's clock be off by so much."""
    async with app.state.runtime.database.across() as unit:
        await unit.connection.exec_driver_sql(f"UPDATE app_clock SET offset_by = interval '{by}'")
