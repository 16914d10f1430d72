"""Decisions that come late, twice, edited or tampered with; tasks that exist only once a person has said so."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from support.far_inbox import MailRoom, mail_server
from support.loopback import Loopback

from app.agents.context import TaskProposal
from app.database.connection import Database
from app.models.errors import AppError, Conflict, InvalidInput
from app.models.task import Task
from app.runtime import Runtime
from app.services import approval_links, approvals
from app.services.orders import Desk as OrderDesk
from app.services.planner import Planner
from tests.api.test_approval_links import mail_of
from tests.flows.conftest import Desk, OpenDesk
from tests.flows.test_effects import POST, sent

DIGEST = {
    "title": "Morning digest",
    "prompt": "Sum up my unread mail.",
    "when": {"cron": "0 8 * * 1-5", "timezone": "Europe/Berlin"},
    "notify": "slack",
}


@asynccontextmanager
async def later(database: Database, interval: str) -> AsyncGenerator[None]:
    """The ledger's time, moved on."""
    try:
        await move(database, interval)
        yield
    finally:
        await move(database, "0")


async def move(database: Database, interval: str) -> None:
    async with database.across() as unit:
        await unit.connection.execute(text(f"UPDATE app_clock SET offset_by = interval '{interval}'"))


async def tasks(desk: Desk) -> Sequence[Task]:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        return await unit.tasks.page(limit=50)


async def heard(desk: Desk, conversation_id: UUID) -> str:
    """What the model was last told by a tool."""
    entries = await desk.entries(conversation_id)
    parts = [part for entry in entries for part in entry.message.get("parts", []) if part["part_kind"] == "tool-return"]
    return str(parts[-1]["content"])


async def test_a_decision_after_a_restart_and_a_week_makes_one_effect(open_desk: OpenDesk, far_end: Loopback) -> None:
    async with open_desk() as before:
        conversation_id = await before.conversation(approval="ask")
        turn = await before.answer(await before.say(conversation_id, POST, {"text": "done"}))
        (approval,) = turn.approvals
        assert approval.reason == "The person who named this target wants to be asked."
    async with open_desk() as after, later(after.runtime.database, "7 days"):
        decided = await asyncio.gather(
            *(after.decide(approval.id, "approve") for _ in range(20)), return_exceptions=True
        )
        assert sum(not isinstance(one, BaseException) for one in decided) == 1
        ended = await after.answer(turn.run)
        assert (ended.run.status, sent(far_end, turn.run.id)) == ("completed", 1)
    async with open_desk() as again:
        with pytest.raises(Conflict, match="decided already"):
            await again.decide(approval.id, "deny")
        assert sent(far_end, turn.run.id) == 1


async def test_twenty_decisions_by_people_and_by_links_make_one_effect(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(approval="ask")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    approval_id = turn.approvals[0].id
    told = mail_of([str(approval_id)] * 10, desk.owner.workspace_id)
    lines = await approval_links.lines_for(desk.runtime.database, told, "https://sixlane.example")
    tokens = [line.rpartition("/")[2] for line in lines.strip().split("\n\n")]
    assert len(set(tokens)) == 10
    decided = await asyncio.gather(
        *(desk.decide(approval_id, "approve") for _ in range(10)),
        *(approval_links.decide(desk.runtime.database, token, "approve") for token in tokens),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, BaseException) for one in decided) == 1
    assert all(isinstance(one, AppError) for one in decided if isinstance(one, BaseException))
    assert (await desk.answer(turn.run)).run.status == "completed"
    assert sent(far_end, turn.run.id) == 1


async def test_nobody_in_time_means_no(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(approval="ask")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    async with later(desk.runtime.database, "15 days"):
        assert await approvals.expire_due(desk.runtime.database) == 1
        ended = await desk.answer(turn.run)
        assert (ended.run.status, sent(far_end, turn.run.id)) == ("completed", 0)
    assert "Nobody decided" in await heard(desk, conversation_id)


async def test_the_model_hears_why_it_was_denied(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(approval="ask")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    await desk.decide(turn.approvals[0].id, "deny", note="Wrong customer: take the one from Ghent.")
    assert (await desk.answer(turn.run)).run.status == "completed"
    assert "take the one from Ghent" in await heard(desk, conversation_id)


@pytest.mark.parametrize("tampered", ["arguments_hash = 'x'", "step = step + 1"])
async def test_an_approval_stands_for_one_call_only(desk: Desk, far_end: Loopback, tampered: str) -> None:
    conversation_id = await desk.conversation(approval="ask")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    async with desk.runtime.database.across() as unit:
        await unit.connection.execute(
            text(f"UPDATE approvals SET {tampered} WHERE id = :id"), {"id": turn.approvals[0].id}
        )
    await desk.decide(turn.approvals[0].id, "approve")
    after = await desk.answer(turn.run)
    assert (after.run.status, sent(far_end, turn.run.id)) == ("waiting", 0)
    assert after.approvals[0].id != turn.approvals[0].id


async def test_arguments_that_are_edited_after_the_approval_void_it(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(approval="ask")
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    approval_id = turn.approvals[0].id
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        row = await unit.approvals.get(approval_id)
        assert row is not None
        await approvals.settle(
            unit, row, approvals.DecisionIn.model_validate({"decision": "approve"}), decided_by=desk.owner.id
        )
        await unit.connection.execute(
            text("UPDATE approvals SET decided_arguments = :new WHERE id = :id"),
            {"id": approval_id, "new": '{"target": "hook", "data": {"n": 2}}'},
        )
    after = await desk.answer(turn.run)
    assert (after.run.status, sent(far_end, turn.run.id)) == ("waiting", 0)
    assert after.approvals[0].arguments["data"] == {"n": 2}
    with pytest.raises(Conflict):
        await desk.decide(approval_id, "edit", arguments={"target": "hook", "data": {"n": 3}})


@pytest.mark.parametrize(
    "arguments", [{}, {"target": "hook"}, {"target": "hook", "data": 5}, {"target": "hook", "data": {}, "to": "x"}]
)
async def test_edited_arguments_must_fit_the_tool(desk: Desk, arguments: dict[str, Any]) -> None:
    turn = await desk.answer(await desk.say(await desk.conversation(approval="ask"), POST, {"text": "done"}))
    with pytest.raises(InvalidInput, match=r"body\.arguments"):
        await desk.decide(turn.approvals[0].id, "edit", arguments=arguments)
    await desk.decide(turn.approvals[0].id, "deny")


async def test_what_a_person_writes_instead_is_judged_anew(desk: Desk, far_end: Loopback) -> None:
    conversation_id = await desk.conversation(approval="ask")
    async with desk.runtime.database.across() as unit:
        await unit.connection.execute(
            text(
                "UPDATE conversations SET targets = targets || jsonb_set(targets, '{0}', (targets->0) || "
                '\'{"name": "closed", "approval": "deny"}\') WHERE id = :id'
            ),
            {"id": conversation_id},
        )
    turn = await desk.answer(await desk.say(conversation_id, POST, {"text": "done"}))
    await desk.decide(turn.approvals[0].id, "edit", arguments={"target": "closed", "data": {}})
    after = await desk.answer(turn.run)
    assert (after.run.status, sent(far_end, turn.run.id)) == ("completed", 0)
    assert "forbids it" in await heard(desk, conversation_id)


# Tasks that agents propose


async def test_a_task_is_made_on_the_click_and_not_before(desk: Desk) -> None:
    conversation_id = await desk.conversation()
    propose = {"tools": [{"name": "propose_task", "args": DIGEST}]}
    turn = await desk.answer(await desk.say(conversation_id, propose, {"text": "done"}))
    (asked,) = turn.approvals
    assert await tasks(desk) == []
    assert "At 08:00, Monday through Friday (Europe/Berlin)" in (asked.reason or "")
    await desk.decide(asked.id, "approve")
    assert (await desk.answer(turn.run)).run.status == "completed"
    (made,) = await tasks(desk)
    assert (made.title, made.pattern, made.user_id) == ("Morning digest", "scheduled", desk.owner.user_id)
    assert made.notification_config["channels"] == ["slack"]
    assert made.next_due_at is not None


@pytest.mark.parametrize("decision", ["deny", "edit"])
async def test_a_person_may_refuse_or_change_a_task(desk: Desk, decision: str) -> None:
    propose = {"tools": [{"name": "propose_task", "args": DIGEST}]}
    turn = await desk.answer(await desk.say(await desk.conversation(), propose, {"text": "done"}))
    changed = {**DIGEST, "when": {"every": "1d", "timezone": "UTC"}, "notify": "none"}
    more = {"arguments": changed} if decision == "edit" else {}
    await desk.decide(turn.approvals[0].id, decision, **more)
    assert (await desk.answer(turn.run)).run.status == "completed"
    assert [(one.schedule or {}).get("every") for one in await tasks(desk)] == (["1d"] if decision == "edit" else [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"when": {"cron": "61 8 * * *", "timezone": "UTC"}},
        {"when": {"cron": "0 8 * * *", "every": "1d", "timezone": "UTC"}},
        {"when": {"cron": "0 8 * * *", "timezone": "Mars/Olympus"}},
        {"when": {"every": "1s", "timezone": "UTC"}},
        {"when": {"at": "2020-01-01T00:00:00Z", "timezone": "UTC"}},
        {"notify": "email"},
        {"agent": "nobody"},
    ],
    ids=str,
)
async def test_what_cannot_be_made_is_put_right_before_anyone_is_asked(desk: Desk, wrong: dict[str, Any]) -> None:
    both = [{"tools": [{"name": "propose_task", "args": {**DIGEST, **wrong}}]}]
    turn = await desk.answer(await desk.say(await desk.conversation(), *both, {"text": "I see"}))
    assert (turn.run.status, turn.approvals) == ("completed", [])
    assert await tasks(desk) == []


async def test_a_call_that_is_repeated_gives_the_task_that_it_had_made(desk: Desk) -> None:
    turn = await desk.answer(await desk.say(await desk.conversation(), {"text": "hi"}))
    runtime: Runtime = desk.runtime
    orders_desk = OrderDesk(runtime.registry, runtime.models, runtime.guard, runtime.vault)
    planner = Planner(runtime.database, orders_desk, turn.run)
    proposal = TaskProposal("x", "y", {"every": "1d", "timezone": "UTC"})
    first = await planner.create(proposal, f"{turn.run.id}:1:call")
    async with later(runtime.database, "30 days"):
        assert (await planner.create(proposal, f"{turn.run.id}:1:call"))["task_id"] == first["task_id"]
    assert len(await tasks(desk)) == 1
    at_once = await asyncio.gather(
        *(planner.create(proposal, f"{turn.run.id}:2:call") for _ in range(5)), return_exceptions=True
    )
    assert {one["task_id"] for one in at_once if not isinstance(one, BaseException)} != {first["task_id"]}
    assert len(await tasks(desk)) == 2


async def test_a_mail_brings_the_link_that_decides(open_desk: OpenDesk, far_end: Loopback) -> None:
    with mail_server(MailRoom()) as room:
        mail = {"SMTP_HOST": "localhost", "SMTP_PORT": str(room.port), "SMTP_TLS_MODE": "none"}
        mail |= {"SMTP_FROM_EMAIL": "sixlane@example.com", "PUBLIC_URL": "https://sixlane.example"}
        async with open_desk(**mail) as desk:
            target = {"name": "hook", "url": f"{far_end.url}/hook", "approval": "ask"}
            told = {"channels": ["email", "slack"], "email_address": "ada@example.com"}
            run = await desk.delegate(POST, {"text": "done"}, targets=[target], notification_config=told)
            turn = await desk.answer(run)
            assert turn.run.status == "waiting"
            async with asyncio.timeout(20):
                while not room.mails:
                    await asyncio.sleep(0.02)
            body = str(room.mails[0].get_body(("plain",)).get_content())  # type: ignore[union-attr]
            (token,) = re.findall(r"https://sixlane\.example/approvals/link/(\S+)", body)
            assert "wants to be asked" in body
            async with desk.runtime.database.across() as unit:
                kept = (await unit.connection.execute(text("SELECT content::text FROM deliveries"))).scalars().all()
            assert not any(token in one for one in kept)
            shown = await approval_links.look(desk.runtime.database, token)
            assert (shown.tool, shown.status, sent(far_end, run.id)) == ("http_post", "pending", 0)
            await approval_links.decide(desk.runtime.database, token, "approve")
            ended = await desk.answer(run)
            assert (ended.run.status, sent(far_end, run.id)) == ("completed", 1)
