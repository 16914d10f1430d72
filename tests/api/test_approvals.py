"""Decisions over HTTP: made once, by whoever is first, and the run goes on in the same commit."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI

from app.models.identity import Principal
from app.models.ids import new_id
from app.runtime import Runtime
from app.services import approvals, users

KINDS = {"tool_call": ["approve", "deny", "edit"], "unknown_outcome": ["happened", "repeat", "skip"]}


async def waiting_run(app: FastAPI, client: httpx.AsyncClient, *kinds: str) -> tuple[UUID, list[str]]:
    """A run that waits for one approval of each kind."""
    task = (await client.post("/tasks", json={"task_type": "delegation", "prompt": "Post it"})).json()
    runtime: Runtime = app.state.runtime
    owner: Principal = await users.local_owner(runtime.database)
    run_id, made = UUID(task["last_run_id"]), []
    async with runtime.database.begin(owner.workspace_id) as unit:
        await unit.runs.transition(run_id, ("queued",), "running", holds_conversation=True)
        run = await unit.runs.transition(run_id, ("running",), "waiting")
        assert run is not None
        for number, kind in enumerate(kinds):
            row = await unit.approvals.ask(
                {
                    "id": new_id(),
                    "run_id": run.id,
                    "conversation_id": run.conversation_id,
                    "user_id": run.user_id,
                    "kind": kind,
                    "tool": "http_post",
                    "tool_call_id": f"call-{number}",
                    "step": 1,
                    "arguments": {"target": "crm", "body": {}},
                    "arguments_hash": "x",
                },
                days=14,
            )
            made.append(str(row.id))
    return run_id, made


async def decide(client: httpx.AsyncClient, approval_id: str, decision: str, **more: Any) -> httpx.Response:
    return await client.post(f"/approvals/{approval_id}/decision", json={"decision": decision, **more})


async def kinds_of_events(client: httpx.AsyncClient, run_id: UUID) -> list[str]:
    page = await client.get(f"/runs/{run_id}/events", headers={"Accept": "application/json"})
    return [event["type"] for event in page.json()["data"]]


async def test_the_last_decision_opens_the_run_again(app: FastAPI, client: httpx.AsyncClient) -> None:
    run_id, (first, second) = await waiting_run(app, client, "tool_call", "unknown_outcome")
    run = (await client.get(f"/runs/{run_id}")).json()
    assert run["waiting_on"][0]["approval_ids"] == [first, second]
    seen = (await client.get(f"/approvals/{second}")).json()
    assert seen["decisions"] == KINDS["unknown_outcome"]

    answer = await decide(client, first, "edit", arguments={"target": "crm", "data": {"a": 1}}, note="Better")
    assert answer.status_code == 200, answer.text
    decided = answer.json()
    assert (decided["status"], decided["decision"], decided["decisions"]) == ("approved", "edit", [])
    assert decided["decided_arguments"] == {"target": "crm", "data": {"a": 1}}
    assert decided["decided_by"].startswith("user:")
    assert (await client.get(f"/runs/{run_id}")).json()["status"] == "waiting"

    assert (await decide(client, second, "happened")).json()["status"] == "resolved"
    assert (await client.get(f"/runs/{run_id}")).json()["status"] == "queued"
    assert (await kinds_of_events(client, run_id)).count("approval.decided") == 2


async def test_twenty_clicks_are_one_decision(app: FastAPI, client: httpx.AsyncClient) -> None:
    run_id, (only,) = await waiting_run(app, client, "tool_call")
    choices = ["approve", "deny"] * 10
    answers = await asyncio.gather(*(decide(client, only, choice) for choice in choices))

    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    late = [answer.json() for answer in answers if answer.status_code == 409]
    assert len(late) == 19
    assert {problem["code"] for problem in late} == {"approval_already_decided"}
    assert {problem["decision"] for problem in late} == {won[0].json()["decision"]}
    assert (await kinds_of_events(client, run_id)).count("approval.decided") == 1


async def test_two_approvals_decided_at_once_open_the_run(app: FastAPI, client: httpx.AsyncClient) -> None:
    for _ in range(5):
        run_id, made = await waiting_run(app, client, "tool_call", "tool_call", "tool_call")
        answers = await asyncio.gather(*(decide(client, approval, "approve") for approval in made))
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert (await client.get(f"/runs/{run_id}")).json()["status"] == "queued"


async def test_a_decision_fits_its_kind(app: FastAPI, client: httpx.AsyncClient) -> None:
    _, (call, outcome) = await waiting_run(app, client, "tool_call", "unknown_outcome")
    for approval, decision, more in (
        (call, "happened", {}),
        (outcome, "approve", {}),
        (call, "edit", {}),
        (call, "approve", {"arguments": {}}),
        (call, "maybe", {}),
    ):
        assert (await decide(client, approval, decision, **more)).status_code == 422
    assert (await decide(client, "0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11", "approve")).status_code == 404


async def test_what_has_expired_cannot_be_decided_and_the_run_goes_on(app: FastAPI, client: httpx.AsyncClient) -> None:
    run_id, (only,) = await waiting_run(app, client, "tool_call")
    runtime: Runtime = app.state.runtime
    async with runtime.database.across() as unit:
        await unit.connection.exec_driver_sql("UPDATE app_clock SET offset_by = interval '15 days'")
    late = await decide(client, only, "approve")
    assert (late.status_code, late.json()["code"]) == (409, "approval_expired")

    assert await approvals.expire_due(runtime.database) == 1
    assert await approvals.expire_due(runtime.database) == 0
    assert (await client.get(f"/runs/{run_id}")).json()["status"] in ("queued", "running", "completed")
    assert (await client.get(f"/approvals/{only}")).json()["status"] == "expired"
    assert "approval.expired" in await kinds_of_events(client, run_id)


async def test_a_cancelled_run_voids_what_it_waited_for(app: FastAPI, client: httpx.AsyncClient) -> None:
    run_id, (only,) = await waiting_run(app, client, "tool_call")
    listed = (await client.get("/approvals", params={"status": "pending", "run_id": str(run_id)})).json()
    assert [item["id"] for item in listed["data"]] == [only]
    cancelled = await client.post(f"/runs/{run_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    late = await decide(client, only, "approve")
    assert (late.status_code, late.json()["code"]) == (409, "approval_superseded")
    assert (await client.get("/approvals", params={"status": "pending"})).json()["data"] == []


async def test_a_cancelled_run_is_tried_again_once(app: FastAPI, client: httpx.AsyncClient) -> None:
    task = (await client.post("/tasks", json={"task_type": "delegation", "prompt": "Post it"})).json()
    run_id = task["last_run_id"]
    refused = await client.post(f"/runs/{run_id}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_retryable")
    await client.post(f"/runs/{run_id}/cancel")
    headers = {"Idempotency-Key": "retry"}
    again = await client.post(f"/runs/{run_id}/retry", headers=headers)
    assert again.status_code == 202, again.text
    assert again.json()["status"] == "queued"
    assert again.headers["location"] == f"/runs/{again.json()['id']}"
    assert (await client.post(f"/runs/{run_id}/retry", headers=headers)).json()["id"] == again.json()["id"]
    assert (await client.get(f"/tasks/{task['id']}")).json()["last_run_id"] == again.json()["id"]
    ended = await client.post(f"/runs/{run_id}/cancel")
    assert (ended.status_code, ended.json()["status"]) == (202, "cancelled")
