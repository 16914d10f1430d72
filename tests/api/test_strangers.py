"""Another workspace's key sees nothing of ours, by whatever id it asks."""

from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from support.strangers import stranger

from app.api.deps import Keyless
from app.api.pages import cursor, place
from app.api.route import mark_of
from app.api.routers import routes
from app.database.unit import Unit
from app.models.ids import new_id
from app.models.run import Run
from app.runtime import Runtime

BODIES: dict[str, dict[str, Any]] = {
    "/conversations/{conversation_id}": {"title": "Mine"},
    "/conversations/{conversation_id}/messages": {"message": "Hello"},
    "/conversations/{conversation_id}/branch": {"from": "01a1fdbe-6051-719e-b21e-8a5db1bd943a"},
    "/conversations/{conversation_id}/continue": {"message": "Hello"},
    "/conversations/{conversation_id}/context": {"merge": {}},
    "/runs/{run_id}/tool-results": {"results": [{"tool_call_id": "call", "content": 1}]},
    "/conversations/{conversation_id}/vercel-ai": {
        "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]
    },
    "/conversations/{conversation_id}/ag-ui": {
        "threadId": "t",
        "runId": "r",
        "messages": [{"id": "m", "role": "user", "content": "Hi"}],
    },
    "/tasks/{task_id}": {"title": "Mine"},
    "/tasks/{task_id}/backfill": {"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z"},
    "/approvals/{approval_id}/decision": {"decision": "approve"},
}


async def of_run(unit: Unit, run: Run) -> dict[str, str]:
    """What a run of ours has brought about: an approval, a delivery, a connection."""
    approval = await unit.approvals.ask(
        {
            "id": new_id(),
            "run_id": run.id,
            "conversation_id": run.conversation_id,
            "user_id": run.user_id,
            "kind": "tool_call",
            "tool": "http_post",
            "tool_call_id": "call",
            "step": 1,
            "arguments": {},
            "arguments_hash": "x",
        },
        days=1,
    )
    delivery = await unit.deliveries.add(
        {
            "id": new_id(),
            "user_id": run.user_id,
            "event": "run.completed",
            "channel": "email",
            "target": {"to": "user@example.com", "place": "smtp"},
            "content": {"type": "run.completed", "facts": {"title": "Ours"}, "data": {}},
            "status": "dead",
            "dedup_key": "ours",
        }
    )
    assert delivery is not None
    await unit.notes.remember(run.user_id, "ours", "ours")
    (note,) = await unit.notes.recall(run.user_id, "ours")
    connection_id = new_id()
    values = {"id": connection_id, "user_id": run.user_id, "subject": "1", "account": "ada@example.com"}
    await unit.connections.put({**values, "scopes": []}, access_seconds=0)
    made = {
        "approval_id": approval.id,
        "delivery_id": delivery.id,
        "connection_id": connection_id,
        "memory_id": note.id,
    }
    return {name: str(made_id) for name, made_id in made.items()}


async def ours(app: FastAPI, client: httpx.AsyncClient) -> dict[str, str]:
    """One object of every noun in the first workspace, by the name of its id."""
    conversation = (await client.post("/conversations", json={})).json()
    turn = (await client.post(f"/conversations/{conversation['id']}/messages", json={"message": "Hi"})).json()
    task = (await client.post("/tasks", json={"task_type": "delegation", "prompt": "Go"})).json()
    hook = (await client.post("/tasks", json={"task_type": "triggered", "prompt": "Go"})).json()
    event = (await client.post(f"/tasks/webhooks/{hook['id']}", json={"event": "x"})).json()
    key = (await client.post("/api-keys", json={"name": "ours"})).json()
    file = (await client.post("/files", content=b"ours")).json()
    runtime: Runtime = app.state.runtime
    async with runtime.database.across() as across:
        workspace = await across.directory.workspace("default")
    async with runtime.database.begin(workspace.id) as unit:
        run = await unit.runs.get(UUID(turn["run_id"]))
        assert run is not None
        more = await of_run(unit, run)
    return more | {
        "conversation_id": conversation["id"],
        "chat_id": "chat",
        "run_id": turn["run_id"],
        "task_id": task["id"],
        "event_id": event["delivery_id"],
        "key_id": key["id"],
        "file_id": file["id"],
    }


async def test_every_id_of_ours_is_unknown_to_a_stranger(app: FastAPI, client: httpx.AsyncClient) -> None:
    ids = await ours(app, client)
    asked = 0
    async with await stranger(app) as them:
        for route in routes():
            if isinstance(mark_of(route.dependant), Keyless):
                continue  # it knows no keys, and answers 401 to strangers
            names = [name for name in ids if f"{{{name}}}" in route.path]
            for method in (route.methods or ()) if names else ():
                path = route.path.format(**ids)
                answer = await them.request(method, path, json=BODIES.get(route.path) if method != "GET" else None)
                assert answer.status_code == 404, (method, path, answer.text)
                other = str(new_id())
                absent = await them.request(
                    method, route.path.format(**dict.fromkeys(ids, other)), json=BODIES.get(route.path)
                )
                same = ("status", "code", "title", "detail")
                told = [[str(one.json()[part]) for part in same] for one in (answer, absent)]
                for own in ids.values():
                    told[0][3] = told[0][3].replace(own, other)  # the agent runner says the id again, as it was asked
                assert told[0] == told[1], path
                asked += 1
        for path in ("/conversations", "/tasks", "/runs", "/approvals", "/deliveries", "/connections", "/files"):
            assert (await them.get(path)).json()["data"] == []
            for name, value in (("conversation_id", ids["conversation_id"]), ("task_id", ids["task_id"])):
                if path == "/runs":
                    assert (await them.get(path, params={name: value})).json()["data"] == []
    assert asked >= 20
    for noun, name in (
        ("conversations", "conversation_id"),
        ("tasks", "task_id"),
        ("approvals", "approval_id"),
        ("deliveries", "delivery_id"),
        ("connections", "connection_id"),
        ("files", "file_id"),
    ):
        seen = await client.get(f"/{noun}/{ids[name]}")
        assert seen.status_code == 200
        assert seen.json().get("title") is None


async def test_a_cursor_of_ours_is_none_of_theirs(app: FastAPI, client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await client.post("/conversations", json={})
    page = (await client.get("/conversations", params={"limit": 1})).json()
    async with await stranger(app) as them:
        answer = await them.get("/conversations", params={"after": page["next_cursor"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


def test_a_cursor_leads_back_to_its_place() -> None:
    workspace, row = new_id(), new_id()
    assert place(workspace, cursor(workspace, row)) == row
    assert place(workspace, None) is None
