"""Branches of a conversation: edit, make anew, switch back, and refused while a run is active."""

import asyncio
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from app.models.ids import new_id
from app.runtime import Runtime


async def told(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    return (await client.get(f"{path}/messages")).json()["data"]


async def test_a_message_is_edited_answered_anew_and_found_again(client: httpx.AsyncClient) -> None:
    path = f"/conversations/{(await client.post('/conversations', json={})).json()['id']}"
    for word in ("one", "two"):
        await client.post(f"{path}/messages", json={"message": f"Count: {word}"})
    first, _, second, last = await told(client, path)

    edited = await client.post(f"{path}/branch", json={"from": second["id"], "message": "Count: three"})
    assert edited.status_code == 200, edited.text
    assert (edited.json()["left_id"], edited.json()["turn"]["status"]) == (last["id"], "completed")
    line = await told(client, path)
    assert [item["content"] for item in line if item["role"] == "user"] == ["Count: one", "Count: three"]

    anew = (await client.post(f"{path}/branch", json={"from": first["id"]})).json()
    assert anew["from_id"] is None
    assert anew["turn"]["message"]["role"] == "assistant"
    assert [item["content"] for item in await told(client, path) if item["role"] == "user"] == ["Count: one"]

    tips = (await client.get(f"{path}/branches")).json()["data"]
    assert {tip["id"] for tip in tips} == {last["id"], line[-1]["id"], anew["turn"]["message"]["id"]}
    assert [tip["id"] for tip in tips if tip["current"]] == [anew["turn"]["message"]["id"]]
    assert all(tip["preview"] for tip in tips)

    back = (await client.post(f"{path}/branch", json={"from": last["id"]})).json()
    assert (back["from_id"], back["turn"]) == (last["id"], None)
    assert [item["id"] for item in await told(client, path)][-1] == last["id"]
    on = await client.post(f"{path}/branch", json={"from": line[-1]["id"], "message": "And on"})
    assert on.json()["turn"]["status"] == "completed"
    assert [item["content"] for item in await told(client, path) if item["role"] == "user"] == [
        "Count: one", "Count: three", "And on"
    ]  # fmt: skip


async def test_what_went_along_with_a_message_goes_along_again(client: httpx.AsyncClient) -> None:
    path = f"/conversations/{(await client.post('/conversations', json={})).json()['id']}"
    paper = (await client.post("/files", files={"file": ("a.txt", b"The sky is blue.")})).json()["id"]
    schema = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
    said = {"message": "Which colour?", "files": [paper], "output_schema": schema}
    first = (await client.post(f"{path}/messages", json=said)).json()
    assert first["status"] == "completed", first
    question = (await told(client, path))[0]["id"]
    anew = (await client.post(f"{path}/branch", json={"from": question})).json()["turn"]
    question = (await told(client, path))[0]["id"]
    edited = (await client.post(f"{path}/branch", json={"from": question, "message": "And at night?"})).json()["turn"]
    for turn in (first, anew, edited):
        run = (await client.get(f"/runs/{turn['run_id']}")).json()
        assert (run["status"], list(run["result"])) == ("completed", ["colour"]), run
        files = (await client.get(f"/runs/{turn['run_id']}/files")).json()["data"]
        assert [one["id"] for one in files] == [paper]
    on = await client.post(f"{path}/branch", json={"from": (await told(client, path))[-1]["id"], "message": "Thanks"})
    run_id = on.json()["turn"]["run_id"]
    assert (await client.get(f"/runs/{run_id}/files")).json()["data"] == []
    assert (await client.delete(f"/files/{paper}")).status_code == 204
    gone = await client.post(f"{path}/branch", json={"from": question})
    assert (gone.status_code, gone.json()["code"]) == (422, "file_not_found")


async def test_what_is_not_of_this_conversation_is_no_place(client: httpx.AsyncClient) -> None:
    paths = [f"/conversations/{(await client.post('/conversations', json={})).json()['id']}" for _ in range(2)]
    await client.post(f"{paths[0]}/messages", json={"message": "Hello"})
    message = (await told(client, paths[0]))[0]
    for path, place in ((paths[1], message["id"]), (paths[0], str(new_id()))):
        answer = await client.post(f"{path}/branch", json={"from": place})
        assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found")
    assert (await client.post(f"{paths[0]}/branch", json={"message": "x"})).status_code == 422


async def test_it_is_refused_while_a_run_is_active(app: FastAPI, client: httpx.AsyncClient) -> None:
    made = (await client.post("/conversations", json={})).json()
    path = f"/conversations/{made['id']}"
    run_id = (await client.post(f"{path}/messages", json={"message": "Hello"})).json()["run_id"]
    runtime: Runtime = app.state.runtime
    message = (await told(client, path))[0]
    active = text("UPDATE runs SET status = :status, holds_conversation = :held WHERE id = :id")
    async with runtime.database.across() as across:
        await across.connection.execute(active, {"status": "waiting", "held": True, "id": run_id})
    refused = await client.post(f"{path}/branch", json={"from": message["id"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "conversation_busy")
    assert refused.json()["active_run_id"] == run_id
    steered = await client.post(f"{path}/messages", json={"message": "Psst", "on_busy": "steer"})
    assert (steered.status_code, steered.json()["steered"], steered.json()["run_id"]) == (202, True, run_id)
    pending = (await told(client, path))[-1]
    assert (pending["content"], pending["status"], pending["run_id"]) == ("Psst", "pending", run_id)


async def test_the_same_key_branches_once(client: httpx.AsyncClient) -> None:
    path = f"/conversations/{(await client.post('/conversations', json={})).json()['id']}"
    await client.post(f"{path}/messages", json={"message": "Hello"})
    wanted = {"from": (await told(client, path))[0]["id"]}
    key = {"Idempotency-Key": "again"}
    both = await asyncio.gather(*(client.post(f"{path}/branch", json=wanted, headers=key) for _ in range(2)))
    assert {answer.status_code for answer in both} == {200}
    assert len({answer.json()["turn"]["run_id"] for answer in both}) == 1
    assert len((await client.get(f"{path}/branches")).json()["data"]) == 2
