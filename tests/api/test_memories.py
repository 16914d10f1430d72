"""Memories through the API: listed by user and agent, deleted one by one and all at once."""

import httpx
from fastapi import FastAPI

from app.models.ids import new_id
from app.runtime import Runtime


async def test_they_are_listed_and_deleted(app: FastAPI, client: httpx.AsyncClient) -> None:
    made = (await client.post("/conversations", json={"user_id": "ada"})).json()
    runtime: Runtime = app.state.runtime
    async with runtime.database.across() as across:
        workspace = await across.directory.workspace("default")
    async with runtime.database.begin(workspace.id) as unit:
        ada = await unit.users.see(made["user_id"])
        for number in range(3):
            await unit.notes.remember(ada.id, f"key {number}", "text", taint=["web_page"] if number else [])
        await unit.notes.remember(ada.id, "own", "text", agent="helper")
    first = (await client.get("/memories", params={"user_id": "ada", "limit": 2})).json()
    second = (await client.get("/memories", params={"user_id": "ada", "after": first["next_cursor"]})).json()
    found = [*first["data"], *second["data"]]
    assert [(one["key"], one["agent"]) for one in found] == [
        ("own", "helper"), ("key 2", None), ("key 1", None), ("key 0", None)
    ]  # fmt: skip
    assert [one["taint"] for one in found] == [[], ["web_page"], ["web_page"], []]
    assert (await client.get("/memories", params={"user_id": "nobody"})).json()["data"] == []
    assert len((await client.get("/memories", params={"agent": "helper"})).json()["data"]) == 1
    assert (await client.delete(f"/memories/{found[1]['id']}")).status_code == 204
    assert (await client.delete(f"/memories/{found[1]['id']}")).status_code == 404
    assert (await client.delete(f"/memories/{new_id()}")).json()["code"] == "memory_not_found"
    assert (await client.delete("/memories")).status_code == 422
    assert (await client.delete("/memories", params={"user_id": "ada", "agent": "helper"})).json() == {"deleted": 1}
    assert (await client.delete("/memories", params={"user_id": "ada"})).json() == {"deleted": 2}
    assert (await client.get("/memories", params={"user_id": "ada"})).json()["data"] == []
