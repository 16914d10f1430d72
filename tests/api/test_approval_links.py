"""Links in mails: looking decides nothing, a button decides once, and whatever is wrong gets one answer."""

import asyncio
import hashlib
import re
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI

from app.models.delivery import Delivery
from app.models.identity import Principal
from app.models.ids import new_id
from app.runtime import Runtime
from app.services import approval_links, users
from tests.api.test_approvals import decide, kinds_of_events, waiting_run

BASE = "http://localhost"


def mail_of(approval_ids: list[str], workspace_id: UUID, **more: Any) -> Delivery:
    """A mail that tells of these approvals."""
    values: dict[str, Any] = dict.fromkeys(Delivery.__dataclass_fields__)
    values |= {"workspace_id": workspace_id, "channel": "email", "event": "run.waiting"}
    return Delivery(**{**values, "content": {"data": {"approval_ids": approval_ids}}, **more})


async def links(app: FastAPI, approval_ids: list[str], **more: Any) -> list[str]:
    """The paths of the links that a mail about these approvals carries."""
    runtime: Runtime = app.state.runtime
    owner: Principal = await users.local_owner(runtime.database)
    told = await approval_links.lines_for(runtime.database, mail_of(approval_ids, owner.workspace_id, **more), BASE)
    return re.findall(rf"{BASE}(/approvals/link/\S+)", told)


async def press(client: httpx.AsyncClient, link: str, decision: str) -> httpx.Response:
    return await client.post(link, data={"decision": decision})


def from_anywhere(app: FastAPI) -> httpx.AsyncClient:
    """Somebody without a key, at another machine."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("203.0.113.9", 4711))
    return httpx.AsyncClient(transport=transport, base_url=BASE, timeout=30)


async def test_looking_decides_nothing_and_a_button_decides_once(app: FastAPI, client: httpx.AsyncClient) -> None:
    run_id, (only,) = await waiting_run(app, client, "tool_call")
    (link,) = await links(app, [only])
    async with from_anywhere(app) as stranger:
        pages = [await stranger.get(link) for _ in range(3)]
        assert {page.status_code for page in pages} == {200}
        page = pages[-1]
        assert "http_post" in page.text
        assert "crm" in page.text
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "script" not in page.text
        assert (await client.get(f"/approvals/{only}")).json()["status"] == "pending"
        for wrong in ("", "edit", "happened", "maybe"):
            assert (await press(stranger, link, wrong)).status_code == 404
        done = await press(stranger, link, "approve")
        assert (done.status_code, "Approved" in done.text) == (200, True)
        again = await press(stranger, link, "deny")
    row = (await client.get(f"/approvals/{only}")).json()
    assert (row["status"], row["decided_by"].partition(":")[0]) == ("approved", "link")
    assert again.status_code == 404
    assert (await kinds_of_events(client, run_id)).count("approval.decided") == 1


async def test_whatever_is_wrong_with_a_link_the_answer_is_the_same(app: FastAPI, client: httpx.AsyncClient) -> None:
    _, (used, elsewhere, late) = await waiting_run(app, client, "tool_call", "tool_call", "tool_call")
    first, second, third = await links(app, [used, elsewhere, late])
    await press(client, first, "deny")
    await decide(client, elsewhere, "approve")
    runtime: Runtime = app.state.runtime
    async with runtime.database.across() as unit:
        await unit.connection.exec_driver_sql("UPDATE app_clock SET offset_by = interval '15 days'")
    unknown = f"{approval_links.PATH}/{'A' * 64}"
    wrong = [first, second, third, unknown, f"{approval_links.PATH}/x", f"{approval_links.PATH}/{'é' * 20}"]
    try:
        for method in ("GET", "POST"):
            answers = [
                await client.request(method, link, content=b"decision=approve" * (method == "POST")) for link in wrong
            ]
            assert {(answer.status_code, answer.text) for answer in answers} == {(404, answers[0].text)}
    finally:
        async with runtime.database.across() as unit:
            await unit.connection.exec_driver_sql("UPDATE app_clock SET offset_by = interval '0'")
    assert (await client.get(f"/approvals/{late}")).json()["status"] == "pending"


async def test_twenty_decisions_by_key_and_by_link_are_one(app: FastAPI, client: httpx.AsyncClient) -> None:
    run_id, (only,) = await waiting_run(app, client, "tool_call")
    made = [link for _ in range(10) for link in await links(app, [only])]
    assert len(set(made)) == 10
    answers = await asyncio.gather(
        *(press(client, link, "approve") for link in made), *(decide(client, only, "deny") for _ in range(10))
    )
    assert sum(answer.status_code == 200 for answer in answers) == 1
    assert (await kinds_of_events(client, run_id)).count("approval.decided") == 1


async def test_a_page_shows_what_would_hide(app: FastAPI, client: httpx.AsyncClient) -> None:
    run_id, _ = await waiting_run(app, client, "tool_call")
    runtime: Runtime = app.state.runtime
    owner = await users.local_owner(runtime.database)
    async with runtime.database.begin(owner.workspace_id) as unit:
        run = await unit.runs.get(run_id)
        assert run is not None
        row = await unit.approvals.ask(
            {
                "id": new_id(),
                "run_id": run.id,
                "conversation_id": run.conversation_id,
                "user_id": run.user_id,
                "kind": "tool_call",
                "tool": "mail_send",
                "tool_call_id": "call-x",
                "step": 1,
                "arguments": {
                    "body": "Hi\u202e there<script>alert(1)</script>\nsecond line",
                    "to": ["bob@example.com", "bob@xn--exmple-cua.com"],
                },
                "arguments_hash": "x",
                "reason": "Mail leaves only after a person has agreed to it.",
                "taint": ["mail_read", "web_page"],
            },
            days=14,
        )
    (link,) = await links(app, [str(row.id)])
    page = (await client.get(link)).text
    assert "⟨U+202E⟩" in page
    assert "<script>" not in page
    assert "exämple.com" in page
    assert page.index("bob@example.com") < page.index("second line")
    assert "mail, web pages" in page


async def test_only_mail_about_a_waiting_run_carries_links(app: FastAPI, client: httpx.AsyncClient) -> None:
    _, (only,) = await waiting_run(app, client, "tool_call")
    assert await links(app, [only], channel="slack") == []
    assert await links(app, [only], channel="webhook") == []
    assert await links(app, [only], event="run.completed") == []
    runtime: Runtime = app.state.runtime
    (link,) = await links(app, [only])
    token = link.rpartition("/")[2]
    async with runtime.database.across() as unit:
        rows = await unit.connection.exec_driver_sql("SELECT token_hash, to_jsonb(l)::text FROM approval_links l")
        found = rows.all()
    assert hashlib.sha256(token.encode()).digest() in {row[0] for row in found}
    assert not any(token in str(row) for row in found)
