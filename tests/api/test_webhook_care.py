"""What an owner does about a webhook: its secret, its limits, an event again, a request tried out."""

import time

import httpx
from fastapi import FastAPI
from support.webhook_door import deliveries, make, move_clock, now, send
from support.webhook_signing import SECRET, SIGNERS, standard

SEED_BODY = {"event": "data_received", "data": "..."}
NOBODY = "0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11"


async def test_a_secret_is_replaced_while_the_one_before_still_holds(app: FastAPI, client: httpx.AsyncClient) -> None:
    task = await make(client, scheme="standard")
    first = task["webhook_secret"]

    async def takes(secret: str, at: int | None = None) -> bool:
        event = f"e{time.monotonic_ns()}"
        headers = standard(b"{}", at=at or now(), secret=secret, event=event)
        return (await send(client, task, **headers)).status_code == 202

    assert await takes(first)
    rotated = (await client.post(f"/tasks/{task['id']}/webhook/rotate", json={})).json()
    second = rotated["webhook_secret"]
    assert rotated["previous_expires_at"] is not None
    assert await takes(first)
    assert await takes(second)
    third = (await client.post(f"/tasks/{task['id']}/webhook/rotate", json={"grace_hours": 2})).json()["webhook_secret"]
    assert not await takes(first)
    assert await takes(second)
    assert await takes(third)
    await move_clock(app, "3 hours")
    assert not await takes(second, now() + 10_800)
    assert await takes(third, now() + 10_800)
    assert not await takes(third)
    at_once = await client.post(f"/tasks/{task['id']}/webhook/rotate", json={"grace_hours": 0, "secret": SECRET})
    assert at_once.json() == {
        "webhook_secret": SECRET,
        "webhook_url": task["webhook_url"],
        "previous_expires_at": None,
    }
    assert not await takes(third, now() + 10_800)
    assert await takes(SECRET, now() + 10_800)


async def test_a_webhook_without_a_secret_gets_one_and_asks_for_it_from_then_on(client: httpx.AsyncClient) -> None:
    task = await make(client)
    assert (await send(client, task)).status_code == 202
    made = (await client.post(f"/tasks/{task['id']}/webhook/rotate", json={})).json()
    assert made["previous_expires_at"] is None
    assert (await send(client, task, b"[]")).status_code == 401
    signed = standard(b"[]", at=now(), secret=made["webhook_secret"])
    assert (await send(client, task, b"[]", **signed)).status_code == 202
    plain = await make(client, scheme="none")
    assert (await client.post(f"/tasks/{plain['id']}/webhook/rotate", json={})).status_code == 409
    bad = await client.post(f"/tasks/{task['id']}/webhook/rotate", json={"secret": "not base64, not whsec"})
    assert bad.status_code == 422


async def test_an_event_can_be_replayed(client: httpx.AsyncClient) -> None:
    task = await make(client, filter=[{"path": "$.go", "exists": True}])
    first = (await send(client, task, {"stay": 1})).json()
    path = f"/tasks/{task['id']}/webhook/deliveries/{first['delivery_id']}/replay"
    again = await client.post(path, headers={"Idempotency-Key": "once"})
    assert again.status_code == 202, again.text
    made = again.json()
    assert made["outcome"] == "replayed"
    assert again.headers["location"] == f"/runs/{made['run_id']}"
    repeated = await client.post(path, headers={"Idempotency-Key": "once"})
    assert repeated.json() == made
    assert repeated.headers["idempotency-replayed"] == "true"
    assert (await client.post(path)).json()["run_id"] != made["run_id"]
    shown = (await client.get(f"/tasks/{task['id']}/webhook/deliveries/{made['delivery_id']}")).json()
    assert (shown["replay_of"], shown["body"]) == (first["delivery_id"], '{"stay": 1}')
    await client.post(f"/tasks/{task['id']}/disable")
    assert (await client.post(path)).status_code == 409


async def test_a_request_can_be_tried_out_without_any_effect(client: httpx.AsyncClient) -> None:
    task = await make(
        client,
        "Greet {{who}} {{7*7}}",
        scheme="standard",
        secret=SECRET,
        mapping={"who": "$.user"},
        filter=[{"path": "$.action", "equals": "opened"}],
    )
    body = '{"user": "Ada", "action": "opened"}'
    path = f"/tasks/{task['id']}/webhook/test"
    headers = standard(body.encode(), at=now())
    tried = (await client.post(path, json={"headers": headers, "body_text": body})).json()
    assert (tried["verdict"], tried["filtered"], tried["would_run"]) == ("valid", False, True)
    assert tried["variables"] == {"who": "Ada"}
    assert tried["prompt"].startswith("Greet Ada {{7*7}}\n\n")
    assert tried["filter"] == [{"path": "$.action", "test": "equals", "found": "opened", "holds": True}]
    unsigned = (await client.post(path, json={"body": {"user": "Bob", "action": "closed"}})).json()
    assert (unsigned["verdict"], unsigned["filtered"], unsigned["would_run"]) == ("invalid", True, False)
    assert not await deliveries(client, task)
    await send(client, task, body.encode(), **headers)
    assert (await client.post(path, json={"headers": headers, "body_text": body})).json()["duplicate"] is True
    assert (await client.post(path, json={"body": 1, "body_text": "1"})).status_code == 422
    local = await make(client)
    told = (await client.post(f"/tasks/{local['id']}/webhook/test", json={"body": SEED_BODY})).json()
    assert (told["verdict"], told["would_run"]) == ("unsigned", True)


async def test_events_may_come_only_so_often(app: FastAPI, client: httpx.AsyncClient) -> None:
    task = await make(client, max_per_minute=2, filter=[{"path": "$.n", "exists": True}])
    assert [(await send(client, task, {"n": n})).status_code for n in (1, 2)] == [202, 202]
    over = await send(client, task, {"n": 3})
    assert (over.status_code, over.json()["code"]) == (429, "rate_limited")
    assert 0 < int(over.headers["retry-after"]) <= 60
    assert (await send(client, task, {"n": 1})).status_code == 200
    assert (await send(client, task, {"m": 1})).json()["outcome"] == "filtered"
    await move_clock(app, "61 seconds")
    assert (await send(client, task, {"n": 3})).status_code == 202


async def test_slack_gets_its_word_back(client: httpx.AsyncClient) -> None:
    task = await make(client, scheme="slack", secret=SECRET)
    body = b'{"type": "url_verification", "challenge": "3eZb"}'
    answer = await send(client, task, body, **SIGNERS["slack"](body, at=now()))
    assert (answer.status_code, answer.text) == (200, "3eZb")
    assert (await send(client, task, body)).status_code == 401
    assert not await deliveries(client, task)


async def test_only_triggered_tasks_have_a_webhook(client: httpx.AsyncClient) -> None:
    task = (await client.post("/tasks", json={"task_type": "delegation", "prompt": "Go"})).json()
    for method, tail in (("GET", "deliveries"), ("POST", "rotate"), ("POST", "test")):
        answer = await client.request(
            method, f"/tasks/{task['id']}/webhook/{tail}", json={} if method == "POST" else None
        )
        assert (answer.status_code, answer.json()["code"]) == (409, "no_webhook")
    assert (await client.get(f"/tasks/{NOBODY}/webhook/deliveries")).status_code == 404
