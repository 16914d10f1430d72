"""The context of a conversation: patched and merged, versioned, bounded, held against its schema."""

import asyncio
import contextlib
from collections import Counter
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from support.serving import serving

from app.config import Settings
from app.main import create_app
from app.runtime import open_runtime

SCHEMA = {
    "type": "object",
    "properties": {"page": {"type": "integer", "minimum": 1}, "cart": {"type": "array", "maxItems": 2}},
    "additionalProperties": False,
}

WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "give either"),
    ({"patch": [], "version": 0}, "body.patch"),
    ({"patch": [{"op": "add", "path": "/a", "value": 1}], "merge": {}}, "give either"),
    ({"patch": [{"op": "add", "path": "/a"}]}, "value"),
    ({"patch": [{"op": "put", "path": "/a", "value": 1}]}, "patch.0"),
    ({"patch": [{"op": "add", "path": "a", "value": 1}]}, "path"),
    ({"patch": [{"op": "add", "path": "/a~2", "value": 1}]}, "path"),
    ({"patch": [{"op": "move", "path": "/a"}]}, "from"),
    ({"patch": [{"op": "remove", "path": "/a", "value": 1}]}, "value"),
    ({"patch": [{"op": "remove", "path": "/a"}]}, "patch.0"),
    ({"patch": [{"op": "test", "path": "/page", "value": 1}] * 257}, "body.patch"),
    ({"merge": [1]}, "body.merge"),
    ({"merge": {}, "version": -1}, "body.version"),
    ({"merge": {"page": 0}}, "page"),
    ({"merge": {"extra": 1}}, "extra"),
    ({"patch": [{"op": "add", "path": "/cart", "value": [1, 2, 3]}]}, "cart"),
]


async def make(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await client.post("/conversations", json={"pattern_type": "chatbot", **fields})
    assert answer.status_code == 201, answer.text
    return f"/conversations/{answer.json()['id']}/context"


async def test_patches_and_merges_count_versions(client: httpx.AsyncClient) -> None:
    path = await make(client, context_data={"page": 1, "cart": ["pen"]})
    assert (await client.get(path)).json() == {"context_data": {"page": 1, "cart": ["pen"]}, "version": 0}
    patched = await client.patch(path, json={"patch": [{"op": "add", "path": "/cart/-", "value": "ink"}]})
    assert (patched.status_code, patched.headers["etag"]) == (200, '"1"')
    merged = await client.patch(path, json={"merge": {"page": None, "user": {"name": "Ada"}}})
    assert merged.json() == {"context_data": {"cart": ["pen", "ink"], "user": {"name": "Ada"}}, "version": 2}
    whole = await client.patch(path.removesuffix("/context"), json={"context_data": {"page": 9}, "title": "Shop"})
    assert (whole.json()["context_data"], whole.json()["context_version"]) == ({"page": 9}, 3)
    titled = await client.patch(path.removesuffix("/context"), json={"title": "Other"})
    assert titled.json()["context_version"] == 3


async def test_a_change_to_another_version_is_refused_with_the_present_one(client: httpx.AsyncClient) -> None:
    path = await make(client)
    for more in (
        {"json": {"merge": {"n": 1}, "version": 0}},
        {"json": {"merge": {"n": 2}}, "headers": {"If-Match": '"1"'}},
    ):
        assert (await client.patch(path, **more)).status_code == 200  # type: ignore[arg-type]
    stale = await client.patch(path, json={"merge": {"n": 3}, "version": 1})
    assert (stale.status_code, stale.json()["code"], stale.json()["version"]) == (409, "context_changed", 2)
    assert stale.headers["x-should-retry"] == "false"
    assert (await client.patch(path, json={"merge": {}}, headers={"If-Match": '"1"'})).status_code == 409
    both = await client.patch(path, json={"merge": {}, "version": 2}, headers={"If-Match": '"1"'})
    assert both.status_code == 422
    assert (await client.patch(path, json={"merge": {}}, headers={"If-Match": "*"})).status_code == 422
    tested = {"patch": [{"op": "add", "path": "/m", "value": 1}, {"op": "test", "path": "/n", "value": 3}]}
    failed = await client.patch(path, json=tested)
    assert (failed.status_code, failed.json()["code"], failed.json()["operation"]) == (409, "test_failed", 1)
    assert (await client.get(path)).json() == {"context_data": {"n": 2}, "version": 2}


async def test_what_is_wrong_is_named(client: httpx.AsyncClient) -> None:
    path = await make(client, context_data={"page": 1}, context_schema=SCHEMA)
    for body, where in WRONG:
        answer = await client.patch(path, json=body)
        assert answer.status_code == 422, (body, answer.text)
        assert where in answer.text, body
    assert (await client.get(path)).json() == {"context_data": {"page": 1}, "version": 0}


async def test_size_and_schema_hold_on_every_way(client: httpx.AsyncClient) -> None:
    path = await make(client, context_data={"page": 1})
    conversation = path.removesuffix("/context")
    large = {"text": "x" * 70_000}
    for answer in (
        await client.post("/conversations", json={"context_data": large}),
        await client.patch(conversation, json={"context_data": large}),
        await client.patch(path, json={"merge": large}),
        await client.patch(path, json={"patch": [{"op": "add", "path": "/text", "value": "x" * 70_000}]}),
        await client.post(f"{conversation}/messages", json={"message": "Hi", "context": {"merge": large}}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "context_too_large")
    later = await client.patch(conversation, json={"context_schema": SCHEMA, "context_data": {"page": "two"}})
    assert (later.status_code, later.json()["code"]) == (422, "context_does_not_fit")
    assert "page" in later.json()["detail"]
    assert (await client.patch(conversation, json={"context_schema": {"type": "array"}})).status_code == 422
    assert (await client.patch(conversation, json={"context_schema": SCHEMA})).json()["context_version"] == 0
    refused = await client.post(f"{conversation}/messages", json={"message": "Hi", "context": {"merge": {"page": 0}}})
    assert refused.status_code == 422
    assert (await client.get(f"{conversation}/messages")).json()["data"] == []
    await client.patch(conversation, json={"context_schema": None})
    assert (await client.patch(path, json={"merge": {"page": 0}})).status_code == 200
    unfit = await client.post("/conversations", json={"context_schema": SCHEMA, "context_data": {"page": "a"}})
    assert unfit.status_code == 422


async def test_state_goes_along_with_a_message_or_with_neither(app: FastAPI, client: httpx.AsyncClient) -> None:
    path = await make(client, context_data={"page": 1})
    conversation = path.removesuffix("/context")
    key = {"Idempotency-Key": "once"}
    body = {"message": "Hi", "context": {"patch": [{"op": "replace", "path": "/page", "value": 2}], "version": 0}}
    first = await client.post(f"{conversation}/messages", json=body, headers=key)
    assert first.status_code == 200, first.text
    again = await client.post(f"{conversation}/messages", json=body, headers=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert (await client.get(path)).json() == {"context_data": {"page": 2}, "version": 1}
    stale = await client.post(
        f"{conversation}/continue", json={"message": "Ho", "context": {"merge": {}, "version": 0}}
    )
    assert (stale.status_code, stale.json()["code"]) == (409, "context_changed")
    async with app.state.runtime.database.across() as unit:
        await unit.connection.execute(text("UPDATE runs SET status = 'running', holds_conversation = true"))
    busy = await client.post(f"{conversation}/messages", json={"message": "Ho", "context": {"merge": {"page": 3}}})
    assert (busy.status_code, busy.json()["code"]) == (409, "conversation_busy")
    assert (await client.get(path)).json()["version"] == 1


@pytest.mark.crowd
async def test_fifty_changes_at_once_through_two_servers_lose_none(settings: Settings) -> None:
    """Without a version every change counts; with one, exactly one of those who saw the same version."""
    async with (
        serving(create_app(settings)) as one,
        serving(create_app(settings)) as two,
        contextlib.AsyncExitStack() as stack,
    ):
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30))
            for port in (one, two)
        ]
        path = await make(clients[0], context_data={"log": []})

        async def change(number: int) -> int:
            patch = {"patch": [{"op": "add", "path": "/log/-", "value": number}]}
            body = patch if number % 4 < 2 else {"merge": {f"k{number}": number}}
            return (await clients[number % 2].patch(path, json=body)).status_code

        assert Counter(await asyncio.gather(*(change(number) for number in range(50)))) == {200: 50}
        after = (await clients[1].get(path)).json()
        log = after["context_data"].pop("log")
        assert (after["version"], len(log)) == (50, 26)
        assert sorted([*log, *after["context_data"].values()]) == list(range(50))

        async def race(number: int) -> int:
            body = {"merge": {"winner": number}, "version": 50}
            return (await clients[number % 2].patch(path, json=body)).status_code

        assert Counter(await asyncio.gather(*(race(number) for number in range(10)))) == {200: 1, 409: 9}


OPEN_PAGE = {
    "name": "open_page",
    "description": "Open a page of the shop.",
    "parameters": {"type": "object", "properties": {"page": {"type": "string"}}, "required": ["page"]},
}


async def test_a_client_tool_is_declared_called_and_answered_over_http(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    body = {"pattern_type": "sidekick", "client_tools": [OPEN_PAGE]}
    made = (await client.post("/conversations", json=body)).json()
    assert made["client_tools"] == [{**OPEN_PAGE, "timeout_seconds": 300, "approval": None, "untrusted": False}]
    messages = f"/conversations/{made['id']}/messages"
    turn = await client.post(messages, json={"message": 'Open the page "cart" of the shop'})
    assert (turn.status_code, turn.json()["status"]) == (202, "waiting"), turn.text
    (call,) = turn.json()["tool_calls"]
    assert (call["tool"], call["arguments"]) == ("open_page", {"page": "cart"})
    run = f"/runs/{turn.json()['run_id']}"
    (waits,) = (await client.get(run)).json()["waiting_on"]
    assert (waits["type"], waits["tool_call_id"], waits["until"]) == (
        "client_tool",
        call["tool_call_id"],
        call["expires_at"],
    )
    busy = (await client.post(messages, json={"message": "Hello?"})).json()
    assert (busy["code"], busy["tool_call_ids"]) == ("conversation_waiting", [call["tool_call_id"]])

    results = [{"tool_call_id": call["tool_call_id"], "content": {"opened": "cart"}}]
    for wrong in (
        {"results": []},
        {"results": results * 2},
        {"results": [{"tool_call_id": "x"}]},
        {"results": [{**results[0], "error": "both"}]},
    ):
        assert (await client.post(f"{run}/tool-results", json=wrong)).status_code == 422
    unknown = await client.post(f"{run}/tool-results", json={"results": [{"tool_call_id": "x", "content": 1}]})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "call_not_found")
    async with open_runtime(settings, "worker"):
        stream = await client.post(f"{run}/tool-results", json={"results": results, "stream": True})
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert "event: run.completed" in stream.text
    again = await client.post(f"{run}/tool-results", json={"results": results})
    assert (again.status_code, again.json()["code"]) == (409, "already_answered")
    assert again.headers["x-should-retry"] == "false"


async def test_declarations_that_could_not_work_are_refused(client: httpx.AsyncClient) -> None:
    made = (await client.post("/conversations", json={"pattern_type": "sidekick"})).json()
    for tools, where in (
        ([{**OPEN_PAGE, "name": "calculator"}], "client_tools.0.name"),
        ([{**OPEN_PAGE, "name": "final_result"}], "client_tools.0.name"),
        ([OPEN_PAGE, OPEN_PAGE], "client_tools.1.name"),
        ([{**OPEN_PAGE, "name": "no spaces"}], "client_tools.0.name"),
        ([{**OPEN_PAGE, "parameters": {"type": "string"}}], "client_tools.0.parameters"),
        ([{**OPEN_PAGE, "parameters": {"type": "object", "properties": 1}}], "client_tools.0.parameters"),
        ([{**OPEN_PAGE, "timeout_seconds": 86_401}], "timeout_seconds"),
        ([{**OPEN_PAGE, "approval": "deny"}], "approval"),
        ([OPEN_PAGE] * 33, "client_tools"),
    ):
        for answer in (
            await client.post("/conversations", json={"pattern_type": "sidekick", "client_tools": tools}),
            await client.patch(f"/conversations/{made['id']}", json={"client_tools": tools}),
        ):
            assert answer.status_code == 422, tools
            assert where in answer.text, answer.text
    changed = await client.patch(
        f"/conversations/{made['id']}", json={"client_tools": [OPEN_PAGE], "context_changes": "ask"}
    )
    assert [tool["name"] for tool in changed.json()["client_tools"]] == ["open_page"]
    assert changed.json()["context_changes"] == "ask"
    tainted = await client.patch(f"/conversations/{made['id']}", json={"context_untrusted": True})
    assert tainted.json()["taint"] == ["context"]
    forked = (await client.post(f"/conversations/{made['id']}/fork")).json()
    assert [forked[name] for name in ("client_tools", "context_changes", "taint")] == [
        tainted.json()[name] for name in ("client_tools", "context_changes", "taint")
    ]
