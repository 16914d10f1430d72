"""Agents over HTTP: defined, changed by versions, archived, and used wherever an agent is named."""

from typing import Any

import httpx
from fastapi import FastAPI
from support.strangers import stranger

SUPPORT: dict[str, Any] = {
    "name": "support",
    "instructions": "Answer in two sentences.",
    "tools": ["calculator"],
    "policies": {"calculator": "ask"},
    "model_settings": {"temperature": 0.2},
    "overrides": ["temperature"],
}


async def define(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/agents", json={**SUPPORT, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_an_agent_is_defined_changed_and_archived(client: httpx.AsyncClient) -> None:
    made = await define(client)
    assert (made["source"], made["policies"], made["limits"]["steps"]) == ("workspace", {"calculator": "ask"}, None)
    assert (await client.get("/agents/support")).json() == made
    listed = (await client.get("/agents")).json()["data"]
    assert [agent["name"] for agent in listed] == sorted(agent["name"] for agent in listed)
    assert made in listed

    changed = await client.patch("/agents/support", json={"instructions": "Answer in one.", "policies": {}})
    assert changed.status_code == 200, changed.text
    second = changed.json()
    assert (second["instructions"], second["policies"], second["tools"]) == ("Answer in one.", {}, ["calculator"])
    assert second["version"] != made["version"]
    again = await client.patch("/agents/support", json={"instructions": "Answer in one."})
    assert again.json() == second

    versions = (await client.get("/agents/support/versions")).json()["data"]
    assert [(row["version"], row["current"]) for row in versions] == [
        (second["version"], True),
        (made["version"], False),
    ]
    assert (await client.get(f"/agents/support/versions/{made['version']}")).json() == made

    assert (await client.delete("/agents/support")).status_code == 204
    for gone in (await client.get("/agents/support"), await client.delete("/agents/support")):
        assert (gone.status_code, gone.json()["code"]) == (404, "agent_not_found")
    versions = (await client.get("/agents/support/versions")).json()["data"]
    assert not any(row["current"] for row in versions)
    back = await define(client, instructions="Anew.")
    assert (await client.get("/agents/support")).json() == back


async def test_names_that_are_taken(client: httpx.AsyncClient) -> None:
    await define(client)
    for name in ("support", "assistant"):
        taken = await client.post("/agents", json={**SUPPORT, "name": name})
        assert (taken.status_code, taken.json()["code"]) == (409, "agent_name_taken"), name
    for method, body in (("PATCH", {"description": "Mine"}), ("DELETE", None)):
        not_yours = await client.request(method, "/agents/assistant", json=body)
        assert (not_yours.status_code, not_yours.json()["code"]) == (409, "agent_not_yours")


async def test_a_repeated_request_defines_one_agent(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "once"}
    first = await client.post("/agents", json=SUPPORT, headers=key)
    second = await client.post("/agents", json=SUPPORT, headers=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["idempotency-replayed"] == "true"
    assert first.json() == second.json()
    other = await client.post("/agents", json={**SUPPORT, "name": "other"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "run"}, "reserved_name"),
    ({"name": "Not a slug"}, "invalid_input"),
    ({"tools": ["nothing"], "policies": {}}, "unknown_tool"),
    ({"tools": ["calculator", "calculator"]}, "duplicate_tool"),
    ({"policies": {"http_post": "deny"}}, "unknown_tool"),
    ({"policies": {"calculator": "always"}}, "invalid_input"),
    ({"output_schema": {"type": "string"}}, "invalid_schema"),
    ({"limits": {"cost_usd": 1}}, "unpriced_model"),
    ({"sub_agents": ["nobody"]}, "agent_not_found"),
    ({"mcp": [{"name": "shell", "command": "sh"}]}, "invalid_input"),
    ({"mcp": [{"name": "shell"}]}, "unknown_mcp_server"),
    ({"mcp": [{"name": "inside", "url": "http://127.0.0.1:1/mcp"}]}, "outbound_blocked"),
    ({"mcp": [{"name": "a", "url": "https://a.example/"}] * 2}, "duplicate_server"),
    ({"model_settings": {"temperature": "0.2"}}, "invalid_input"),
    ({"overrides": ["tools"]}, "invalid_input"),
]


async def test_what_could_not_run_is_refused(client: httpx.AsyncClient) -> None:
    for fields, code in REFUSED:
        refused = await client.post("/agents", json={**SUPPORT, **fields})
        assert (refused.status_code, refused.json()["code"]) == (422, code), refused.text


async def test_fields_of_a_change_that_cannot_be_null(client: httpx.AsyncClient) -> None:
    await define(client, output_schema={"type": "object", "properties": {"title": {"type": "string"}}})
    refused = await client.patch("/agents/support", json={"tools": None})
    assert refused.status_code == 422
    emptied = await client.patch("/agents/support", json={"output_schema": None})
    assert emptied.json()["output_schema"] is None


async def test_an_agent_of_the_workspace_answers_and_its_runs_keep_their_version(client: httpx.AsyncClient) -> None:
    made = await define(client, policies={})
    conversation = (await client.post("/conversations", json={"agent": "support"})).json()
    turn = (await client.post(f"/conversations/{conversation['id']}/messages", json={"message": "Hello"})).json()
    assert turn["status"] == "completed"
    await client.patch("/agents/support", json={"description": "Other"})
    run = (await client.get(f"/runs/{turn['run_id']}")).json()
    assert run["agent_version"] == made["version"]
    assert (await client.post("/conversations", json={"agent": "nobody"})).status_code == 422

    task = await client.post("/tasks", json={"task_type": "delegation", "prompt": "Go", "agent": "support"})
    assert task.status_code == 201, task.text
    run = (await client.get(f"/runs/{task.json()['last_run_id']}")).json()
    assert run["agent_version"] == (await client.get("/agents/support")).json()["version"] != made["version"]


async def test_what_a_task_and_a_message_say_otherwise(client: httpx.AsyncClient) -> None:
    await define(client)
    task = {"task_type": "delegation", "prompt": "Go", "agent": "support"}
    made = await client.post("/tasks", json={**task, "overrides": {"temperature": 1}})
    assert made.json()["overrides"] == {"temperature": 1.0}
    for fields in ({"overrides": {"seed": 1}}, {"model": "demo"}, {"overrides": {"model": "demo"}}):
        refused = await client.post("/tasks", json={**task, **fields})
        assert (refused.status_code, refused.json()["code"]) == (422, "override_not_allowed"), fields
    patched = await client.patch(f"/tasks/{made.json()['id']}", json={"overrides": None})
    assert patched.json()["overrides"] == {}
    conversation = (await client.post("/conversations", json={"agent": "support"})).json()
    path = f"/conversations/{conversation['id']}/messages"
    refused = await client.post(path, json={"message": "Hello", "overrides": {"max_tokens": 5}})
    assert (refused.status_code, refused.json()["code"]) == (422, "override_not_allowed")
    assert (await client.post(path, json={"message": "Hello", "overrides": {"temperature": 0}})).status_code == 200


async def test_agents_of_a_workspace_are_its_own(app: FastAPI, client: httpx.AsyncClient) -> None:
    made = await define(client)
    async with await stranger(app) as them:
        for method, path in (
            ("GET", "/agents/support"),
            ("PATCH", "/agents/support"),
            ("DELETE", "/agents/support"),
            ("GET", "/agents/support/versions"),
            ("GET", f"/agents/support/versions/{made['version']}"),
        ):
            answer = await them.request(method, path, json={} if method == "PATCH" else None)
            assert answer.status_code == 404, (method, path)
        assert "support" not in (await them.get("/agents")).text
        assert (await them.post("/agents", json={**SUPPORT, "instructions": "Theirs."})).status_code == 201
    assert (await client.get("/agents/support")).json() == made
