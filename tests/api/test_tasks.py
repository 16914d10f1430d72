"""Tasks over HTTP: saved, carried out in the background, switched off, deleted."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.config import Settings
from app.runtime import open_runtime

SEED = {
    "task_type": "delegation",
    "prompt": "Research the latest trends in AI and write a summary",
    "notification_config": {"channels": ["email"], "email_address": "user@example.com"},
}


@pytest.fixture
async def worker(app: FastAPI, settings: Settings) -> AsyncGenerator[None]:
    """A worker beside the API, on the same stores."""
    async with open_runtime(settings, "worker"):
        yield


async def finished(client: httpx.AsyncClient, run_id: str) -> None:
    """Wait for the run's last event."""
    answer = await client.get(f"/runs/{run_id}/events")
    assert answer.status_code == 200, answer.text


async def make(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/tasks", json={**SEED, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_delegation_is_accepted_and_carried_out(client: httpx.AsyncClient, worker: None) -> None:
    made = await make(client)
    assert made["task_type"] == "delegation"
    assert made["status"] in ("queued", "running", "completed")
    await finished(client, made["last_run_id"])

    seen = (await client.get(f"/tasks/{made['id']}")).json()
    assert seen["status"] == seen["last_run_status"] == "completed"
    assert "demo" in seen["result"].lower()
    assert seen["error"] is None
    assert seen["usage"]["requests"] >= 1
    assert seen["notification_config"] == SEED["notification_config"]
    run = (await client.get(f"/runs/{made['last_run_id']}")).json()
    assert (run["status"], run["task_id"], run["result"]) == ("completed", made["id"], seen["result"])
    assert run["started_at"]
    assert run["completed_at"]


async def test_tasks_are_listed_by_type_and_status(client: httpx.AsyncClient) -> None:
    first, second = await make(client, title="First"), await make(client, title="Second")
    await client.post(f"/tasks/{first['id']}/disable")

    async def ids(**params: str) -> list[str]:
        answer = await client.get("/tasks", params=params)
        assert answer.status_code == 200, answer.text
        return [task["id"] for task in answer.json()["data"]]

    assert await ids() == [second["id"], first["id"]]
    assert await ids(task_type="delegation", status="queued") == [second["id"]]
    assert await ids(status="disabled") == [first["id"]]
    assert await ids(task_type="scheduled") == []
    assert (await client.get("/tasks", params={"status": "dancing"})).status_code == 422


async def test_a_task_is_changed_field_by_field(client: httpx.AsyncClient) -> None:
    made = await make(client, limits={"steps": 3}, title="Old")
    changed = await client.patch(f"/tasks/{made['id']}", json={"prompt": "Shorter", "limits": None, "title": None})
    assert changed.status_code == 200, changed.text
    task = changed.json()
    assert (task["prompt"], task["limits"], task["title"]) == ("Shorter", {}, None)
    assert task["notification_config"] == made["notification_config"]
    assert (await client.patch(f"/tasks/{made['id']}", json={})).json() == task
    for body in ({"prompt": None}, {"task_type": "research"}, {"status": "completed"}, {"prompt": ""}):
        assert (await client.patch(f"/tasks/{made['id']}", json=body)).status_code == 422


async def test_a_disabled_task_begins_nothing_until_it_is_enabled(client: httpx.AsyncClient) -> None:
    made = await make(client)
    disabled = await client.post(f"/tasks/{made['id']}/disable")
    assert disabled.json()["status"] == "disabled"
    assert disabled.json()["last_run_status"] == "queued"
    assert (await client.post(f"/tasks/{made['id']}/disable")).json() == disabled.json()
    refused = await client.post(f"/tasks/{made['id']}/execute")
    assert (refused.status_code, refused.json()["code"]) == (409, "task_disabled")

    assert (await client.post(f"/tasks/{made['id']}/enable")).json()["status"] == "queued"
    headers = {"Idempotency-Key": "again"}
    begun = await client.post(f"/tasks/{made['id']}/execute", headers=headers)
    assert begun.status_code == 202
    assert begun.json()["status_url"] == f"/runs/{begun.json()['run_id']}"
    assert begun.json()["run_id"] != made["last_run_id"]
    repeated = await client.post(f"/tasks/{made['id']}/execute", headers=headers)
    assert repeated.json() == begun.json()
    assert repeated.headers["idempotency-replayed"] == "true"
    assert (await client.get(f"/tasks/{made['id']}")).json()["last_run_id"] == begun.json()["run_id"]


async def test_a_deleted_task_is_gone_and_its_runs_stay(client: httpx.AsyncClient) -> None:
    made = await make(client)
    assert (await client.delete(f"/tasks/{made['id']}")).status_code == 204
    assert (await client.delete(f"/tasks/{made['id']}")).status_code == 404
    assert (await client.get(f"/tasks/{made['id']}")).status_code == 404
    assert (await client.get("/tasks")).json()["data"] == []
    kept = (await client.get("/runs", params={"task_id": made["id"]})).json()["data"]
    assert [run["id"] for run in kept] == [made["last_run_id"]]


REFUSED: list[tuple[dict[str, Any], str | None]] = [
    ({"task_type": "chatbot"}, "wrong_door"),
    ({"task_type": "clairvoyant"}, "unknown_pattern"),
    ({"task_type": ""}, "unknown_pattern"),
    ({"agent": "nobody"}, "agent_not_found"),
    ({"prompt": ""}, "invalid_input"),
    ({"limits": {"steps": 0}}, "invalid_input"),
    ({"limits": {"steps": 1.5}}, "invalid_input"),
    ({"limits": {"cost_usd": "1"}}, "unpriced_model"),
    ({"user_id": "x" * 256}, "invalid_input"),
    ({"schedule_expression": "0 9 * * *"}, "invalid_input"),
    ({"targets": [{"name": "a b", "url": "https://a.example"}]}, "invalid_input"),
    ({"targets": [{"name": "a", "url": "ftp://a.example"}]}, None),
    ({"targets": [{"name": "a", "url": "http://10.0.0.1/x"}]}, "outbound_blocked"),
]


async def test_what_cannot_be_carried_out_is_refused(client: httpx.AsyncClient) -> None:
    for fields, code in REFUSED:
        answer = await client.post("/tasks", json={**SEED, **fields})
        assert answer.status_code == 422, (fields, answer.text)
        assert code is None or answer.json()["code"] == code, answer.text


REFUSED_NOTIFICATIONS: list[dict[str, Any]] = [
    {"channels": ["pigeon"]},
    {"channels": ["email"]},
    {"channels": ["email", "email"], "email_address": "a@b.example"},
    {"channels": ["webhook"]},
    {"channels": ["webhook"], "webhook_url": "http://127.0.0.1/x"},
    {"channels": ["email"], "email_address": "a@b.example, c@d.example"},
    {"channels": ["email"], "email_address": "Ada <a@b.example>"},
    {"channels": ["email"], "email_address": "a@b.example\r\nBcc: c@d.example"},
    {"channels": ["email"], "email_address": "a@[127.0.0.1]"},
    {"channels": ["email"], "email_address": "a@10.0.0.1"},
    {"channels": ["email"], "email_address": "group:a@b.example;"},
    {"channels": ["email"], "email_address": "=?utf-8?q?x?=@b.example"},
    {"channels": ["email"], "email_address": "a\u200b@b.example"},
    {"channels": ["email"], "email_address": '"a@ok" <evil@x.example>'},
    {"channels": ["email"], "email_address": "x" * 65 + "@b.example"},
    {"channels": ["slack"], "slack_webhook_url": "http://hooks.slack.com/services/A"},
    {"channels": ["slack"], "slack_webhook_url": "https://hooks.slack.com.evil.example/services/A"},
    {"channels": ["slack"], "slack_webhook_url": "https://evil.example@hooks.slack.com/"},
    {"channels": ["slack"], "slack_webhook_url": "https://hooks.slack.com:444/services/A"},
    {"channels": ["slack"], "slack_webhook_url": "https://hooks.slack.com\\@evil.example/"},
    {"channels": ["slack"], "slack_webhook_url": "https://[hooks.slack.com/"},
]


async def test_notifications_go_to_places_that_can_be_told_apart(client: httpx.AsyncClient) -> None:
    for config in REFUSED_NOTIFICATIONS:
        answer = await client.post("/tasks", json={**SEED, "notification_config": config})
        assert answer.status_code == 422, (config, answer.text)


async def test_notifications_that_are_taken(client: httpx.AsyncClient) -> None:
    for config in (
        {},
        {"channels": []},
        {"channels": ["slack"], "slack_webhook_url": "https://hooks.slack.com/services/YOUR/WEBHOOK"},
        {"channels": ["slack"]},
        {
            "channels": ["webhook", "email"],
            "webhook_url": "https://hooks.example/x",
            "email_address": "a.b+c@d.example",
        },
    ):
        answer = await client.post("/tasks", json={**SEED, "notification_config": config})
        assert answer.status_code == 201, answer.text


async def test_twenty_equal_posts_at_once_make_one_task(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "burst"}
    answers = await asyncio.gather(*(client.post("/tasks", json=SEED, headers=headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert len((await client.get("/tasks")).json()["data"]) == 1
    assert len((await client.get("/runs")).json()["data"]) == 1
