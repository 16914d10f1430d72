"""Conversations over HTTP: the wire shapes that clients rely on."""

from typing import Any

import httpx


async def make(client: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    answer = await client.post("/conversations", json={"pattern_type": "chatbot", "context_data": {}, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_conversation_is_made_as_the_first_clients_do(client: httpx.AsyncClient) -> None:
    answer = await client.post("/conversations", json={"pattern_type": "chatbot", "context_data": {}})

    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/conversations/{made['id']}"
    assert made["pattern_type"] == "chatbot"
    assert made["agent"] == "assistant"
    assert made["status"] == "idle"
    assert made["active_run_id"] is None
    assert made["context_data"] == {}
    assert made["created_at"].endswith("Z")
    assert (await client.get(f"/conversations/{made['id']}")).json() == made


async def test_a_turn_is_answered_and_listed(client: httpx.AsyncClient) -> None:
    made = await make(client)
    answer = await client.post(
        f"/conversations/{made['id']}/messages", json={"message": "What is the capital of France?", "stream": False}
    )

    assert answer.status_code == 200, answer.text
    turn = answer.json()
    assert turn["status"] == "completed"
    assert turn["message"]["role"] == "assistant"
    assert "demo" in turn["message"]["content"].lower()
    assert turn["model"] == "demo"
    assert turn["usage"]["requests"] == 1
    listed = (await client.get(f"/conversations/{made['id']}/messages")).json()
    assert [item["role"] for item in listed["data"]] == ["user", "assistant"]
    assert listed["data"][0]["content"] == "What is the capital of France?"
    assert listed["data"][1]["id"] == turn["message"]["id"]
    assert listed["data"][1]["run_id"] == turn["run_id"]
    assert (listed["has_more"], listed["next_cursor"]) == (False, None)
    seen = (await client.get(f"/conversations/{made['id']}")).json()
    assert seen["usage"]["requests"] == 1


async def test_a_turn_is_streamed_to_its_last_event(client: httpx.AsyncClient) -> None:
    made = await make(client)
    answer = await client.post(f"/conversations/{made['id']}/messages", json={"message": "Hello", "stream": True})

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    kinds = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert kinds[0] == "run.started"
    assert kinds[-1] == "run.completed"
    assert "message.delta" in kinds
    ids = [int(line.removeprefix("id: ")) for line in answer.text.splitlines() if line.startswith("id: ")]
    assert ids == list(range(1, len(ids) + 1))


async def test_the_messages_are_paged_with_a_cursor(client: httpx.AsyncClient) -> None:
    made = await make(client)
    for number in range(3):
        await client.post(f"/conversations/{made['id']}/messages", json={"message": f"Number {number}"})
    contents: list[str] = []
    after = None
    while True:
        params: dict[str, str] = {"limit": "4"} | ({"after": after} if after else {})
        page = (await client.get(f"/conversations/{made['id']}/messages", params=params)).json()
        contents += [item["content"] for item in page["data"] if item["role"] == "user"]
        after = page["next_cursor"]
        if not page["has_more"]:
            break
    assert contents == ["Number 0", "Number 1", "Number 2"]


async def test_continue_goes_on_with_a_message_and_refuses_an_empty_thread(client: httpx.AsyncClient) -> None:
    made = await make(client)
    empty = await client.post(f"/conversations/{made['id']}/continue")
    assert empty.status_code == 409
    assert empty.json()["code"] == "nothing_to_continue"

    await client.post(f"/conversations/{made['id']}/messages", json={"message": "Hello"})
    further = await client.post(f"/conversations/{made['id']}/continue", json={"message": "And now?"})
    assert further.status_code == 200, further.text
    bare = await client.post(f"/conversations/{made['id']}/continue")
    assert bare.status_code in (200, 409), bare.text


async def test_conversations_are_listed_newest_first_and_filtered(client: httpx.AsyncClient) -> None:
    first = await make(client, title="First", user_id="ada")
    second = await make(client, title="Second")

    listed = (await client.get("/conversations")).json()
    assert [item["id"] for item in listed["data"]] == [second["id"], first["id"]]
    assert first["user_id"] == "ada"
    hers = (await client.get("/conversations", params={"user_id": "ada"})).json()
    assert [item["id"] for item in hers["data"]] == [first["id"]]
    assert (await client.get("/conversations", params={"user_id": "nobody"})).json()["data"] == []
    page = (await client.get("/conversations", params={"limit": 1})).json()
    assert page["has_more"] is True
    rest = (await client.get("/conversations", params={"limit": 1, "after": page["next_cursor"]})).json()
    assert [item["id"] for item in rest["data"]] == [first["id"]]
    assert rest["next_cursor"] is None


async def test_title_and_context_can_be_changed(client: httpx.AsyncClient) -> None:
    made = await make(client, title="Old", context_data={"page": 1})
    changed = await client.patch(f"/conversations/{made['id']}", json={"title": None})
    assert changed.status_code == 200
    assert changed.json()["title"] is None
    assert changed.json()["context_data"] == {"page": 1}
    refused = await client.patch(f"/conversations/{made['id']}", json={"context_data": None})
    assert refused.status_code == 422
    same = await client.patch(f"/conversations/{made['id']}", json={})
    assert same.json() == changed.json()


async def test_a_fork_shares_the_log_up_to_a_message(client: httpx.AsyncClient) -> None:
    made = await make(client)
    for text in ("One", "Two"):
        await client.post(f"/conversations/{made['id']}/messages", json={"message": text})
    log = (await client.get(f"/conversations/{made['id']}/messages")).json()["data"]

    forked = await client.post(f"/conversations/{made['id']}/fork", json={"at": log[1]["id"], "title": "Aside"})
    assert forked.status_code == 201, forked.text
    fork = forked.json()
    assert fork["forked_from"] == made["id"]
    assert fork["title"] == "Aside"
    shared = (await client.get(f"/conversations/{fork['id']}/messages")).json()["data"]
    assert [item["id"] for item in shared] == [log[0]["id"], log[1]["id"]]
    turn = await client.post(f"/conversations/{fork['id']}/messages", json={"message": "Three"})
    assert turn.status_code == 200, turn.text
    whole = await client.post(f"/conversations/{made['id']}/fork")
    assert len((await client.get(f"/conversations/{whole.json()['id']}/messages")).json()["data"]) == 4

    erased = await client.delete(f"/conversations/{made['id']}")
    assert erased.status_code == 204
    assert (await client.get(f"/conversations/{made['id']}")).status_code == 404
    kept = (await client.get(f"/conversations/{fork['id']}/messages")).json()["data"]
    assert [item["content"] for item in kept if item["role"] == "user"] == ["One", "Three"]


async def test_an_empty_conversation_can_be_forked_and_a_strange_message_cannot(client: httpx.AsyncClient) -> None:
    made = await make(client)
    assert (await client.post(f"/conversations/{made['id']}/fork")).status_code == 201
    strange = await client.post(f"/conversations/{made['id']}/fork", json={"at": made["id"]})
    assert strange.status_code == 404
    assert strange.json()["code"] == "message_not_found"


async def test_an_idempotency_key_makes_one_conversation(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = await client.post("/conversations", json={"title": "A"}, headers=headers)
    again = await client.post("/conversations", json={"title": "A"}, headers=headers)
    other = await client.post("/conversations", json={"title": "B"}, headers=headers)

    assert again.status_code == 201
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_key_reused"
    assert len((await client.get("/conversations")).json()["data"]) == 1


async def test_a_repeated_turn_is_the_same_run(client: httpx.AsyncClient) -> None:
    made = await make(client)
    path, headers = f"/conversations/{made['id']}/messages", {"Idempotency-Key": "turn-1"}
    first = await client.post(path, json={"message": "Hello"}, headers=headers)
    again = await client.post(path, json={"message": "Hello"}, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert len((await client.get(path)).json()["data"]) == 2


async def test_a_task_pattern_or_an_unknown_agent_is_refused(client: httpx.AsyncClient) -> None:
    for body, code in (
        ({"pattern_type": "delegation"}, "wrong_door"),
        ({"pattern_type": "dance"}, "unknown_pattern"),
        ({"agent": "nobody"}, "agent_not_found"),
        ({"targets": [{"name": "a", "url": "http://127.0.0.1:1/"}]}, "outbound_blocked"),
        (
            {"targets": [{"name": "a", "url": "https://a.example/"}, {"name": "a", "url": "https://b.example/"}]},
            "duplicate_target",
        ),
    ):
        answer = await client.post("/conversations", json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] == code
