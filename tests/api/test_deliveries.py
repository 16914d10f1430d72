"""Deliveries over the API: listed, shown with tries and preview, sent again, and kept from others."""

import base64

import httpx
import pytest
from fastapi import FastAPI
from support.notices import result_of, run_of

from app.models.ids import new_id
from app.models.task import Task
from app.runtime import Runtime
from app.services import notifications, users

HOOK = "https://hooks.example/secret/path?token=1"
CONFIG = {
    "channels": ["email", "webhook", "slack"],
    "email_address": "user@example.com",
    "webhook_url": HOOK,
    "slack_webhook_url": "https://hooks.slack.com/services/T/B/secret",
}


@pytest.fixture
async def task(app: FastAPI, client: httpx.AsyncClient) -> Task:
    """A task that told one run over three channels."""
    runtime: Runtime = app.state.runtime
    made = await client.post(
        "/tasks",
        json={"task_type": "delegation", "prompt": "Report", "title": "Report", "notification_config": CONFIG},
    )
    assert made.status_code == 201, made.text
    owner = await users.local_owner(runtime.database)
    async with runtime.database.begin(owner.workspace_id) as unit:
        (row,) = await unit.tasks.page(limit=1)
        run = run_of(row)
        await notifications.after_run(unit, row, run, result_of(run), None)
    return row


async def test_deliveries_are_listed_by_what_they_are(client: httpx.AsyncClient, task: Task) -> None:
    seen = (await client.get("/deliveries")).json()
    assert [row["channel"] for row in seen["data"]] == ["slack", "webhook", "email"]
    assert {row["status"] for row in seen["data"]} == {"pending"}
    assert "secret" not in str(seen)
    for query, count in (
        ({"channel": "email"}, 1),
        ({"status": "dead"}, 0),
        ({"task_id": str(task.id)}, 3),
        ({"run_id": str(new_id())}, 0),
        ({"user_id": "owner"}, 3),
        ({"user_id": "nobody"}, 0),
    ):
        assert len((await client.get("/deliveries", params=query)).json()["data"]) == count, query
    first = (await client.get("/deliveries", params={"limit": 2})).json()
    rest = (await client.get("/deliveries", params={"after": first["next_cursor"]})).json()
    assert (len(first["data"]), len(rest["data"])) == (2, 1)
    for query in ({"status": "gone"}, {"channel": "fax"}, {"task_id": "x"}, {"event": "x"}):
        assert (await client.get("/deliveries", params=query)).status_code == 422


async def test_a_delivery_shows_what_is_sent(client: httpx.AsyncClient, task: Task) -> None:
    rows = {row["channel"]: row for row in (await client.get("/deliveries")).json()["data"]}
    shown = {name: (await client.get(f"/deliveries/{row['id']}")).json() for name, row in rows.items()}
    assert shown["email"]["preview"]["subject"] == "Report: done"
    assert "<strong" in shown["email"]["preview"]["html"]
    assert shown["email"]["preview"]["text"].startswith("All is **well**.")
    assert shown["webhook"]["preview"]["body"]["type"] == "run.completed"
    assert shown["slack"]["preview"]["body"]["blocks"]
    assert shown["webhook"]["target"] == "https://hooks.example/…"
    assert all(one["tries"] == [] for one in shown.values())
    assert (await client.get(f"/deliveries/{new_id()}")).json()["code"] == "delivery_not_found"


async def test_a_delivery_is_sent_again_once_for_each_key(app: FastAPI, client: httpx.AsyncClient, task: Task) -> None:
    (row,) = (await client.get("/deliveries", params={"channel": "email"})).json()["data"]
    early = await client.post(f"/deliveries/{row['id']}/resend")
    assert (early.status_code, early.json()["code"]) == (409, "delivery_not_ended")
    runtime: Runtime = app.state.runtime
    async with runtime.database.across() as unit:
        await unit.connection.exec_driver_sql("UPDATE deliveries SET status = 'dead', ended_at = app_now()")
    answers = [
        await client.post(f"/deliveries/{row['id']}/resend", headers={"Idempotency-Key": "again"}) for _ in range(2)
    ]
    first, second = (answer.json() for answer in answers)
    assert [answer.status_code for answer in answers] == [202, 202]
    assert (first["id"], first["resend_of"], first["status"]) == (second["id"], row["id"], "pending")
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert answers[0].headers["location"] == f"/deliveries/{first['id']}"
    assert len((await client.get("/deliveries")).json()["data"]) == 4


async def test_the_signing_secret_is_one_that_receivers_can_configure(client: httpx.AsyncClient) -> None:
    first, second = [(await client.get("/deliveries/signing-secret")).json() for _ in range(2)]
    assert first == second
    assert len(base64.b64decode(first["secret"].removeprefix("whsec_"))) == 32
    weak = (await client.post("/api-keys", json={"name": "weak", "scopes": ["tasks:read", "tasks:write"]})).json()
    refused = await client.get("/deliveries/signing-secret", headers={"X-Api-Key": weak["key"]})
    assert refused.status_code == 403


async def test_a_key_of_one_person_sees_that_person_s_deliveries_only(client: httpx.AsyncClient, task: Task) -> None:
    key = (await client.post("/api-keys", json={"name": "ada", "user_id": "ada"})).json()
    theirs = {"X-Api-Key": key["key"]}
    (row, *_) = (await client.get("/deliveries")).json()["data"]
    assert (await client.get("/deliveries", headers=theirs)).json()["data"] == []
    assert (await client.get(f"/deliveries/{row['id']}", headers=theirs)).status_code == 404
    assert (await client.post(f"/deliveries/{row['id']}/resend", headers=theirs)).status_code == 404
