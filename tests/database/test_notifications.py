"""What is told of a run, and on which occasion."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.notices import BASE, Room, means_of, open_room, run_of

from app.database.connection import Database
from app.models.approval import Approval
from app.models.ids import new_id
from app.models.run import Run
from app.services import notifications
from app.services.rendering import compose

WEB = {"channels": ["webhook"], "webhook_url": "https://hooks.example/x"}
MAIL = {"channels": ["email"], "email_address": "user@example.com"}


@pytest.fixture
async def room(database: Database) -> AsyncGenerator[Room]:
    async with open_room(database, means_of()) as opened:
        yield opened


async def told(room: Room) -> list[str]:
    return [row.event for row in await room.rows()]


def approval_of(run: Run, **more: Any) -> Approval:
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "workspace_id": run.workspace_id,
        "id": new_id(),
        "run_id": run.id,
        "conversation_id": run.conversation_id,
        "user_id": run.user_id,
        "kind": "tool_call",
        "status": "pending",
        "tool": "http_post",
        "tool_call_id": "c",
        "step": 1,
        "arguments": {"target": "crm"},
        "arguments_hash": "x",
        "reason": None,
        "taint": [],
        "decision": None,
        "decided_arguments": None,
        "note": None,
        "decided_by": None,
        "decided_at": None,
        "expires_at": now + timedelta(days=1),
        "created_at": now,
    }
    return Approval(**{**values, **more})


async def test_success_and_failure_are_told_and_cancelling_is_not(room: Room) -> None:
    task = await room.task(MAIL)
    for status in ("completed", "failed", "cancelled"):
        await room.tell(task, status)
    assert await told(room) == ["run.completed", "run.failed"]


async def test_nobody_is_told_without_a_channel(room: Room) -> None:
    await room.tell(await room.task({}))
    assert await told(room) == []


@pytest.mark.parametrize(
    ("occasions", "status", "moment", "expected"),
    [
        (["failure"], "completed", None, []),
        (["failure"], "failed", None, ["run.failed"]),
        (["recovery"], "completed", None, []),
        (["recovery"], "completed", "recovered", ["task.recovered"]),
        (["success", "recovery"], "completed", "recovered", ["task.recovered"]),
        (["success"], "completed", "recovered", ["run.completed"]),
        (["paused"], "failed", None, []),
        (["failure", "paused"], "failed", "paused", ["task.paused"]),
        (["failure"], "failed", "paused", ["run.failed"]),
        ([], "failed", "paused", []),
    ],
)
async def test_occasions(room: Room, occasions: list[str], status: str, moment: Any, expected: list[str]) -> None:
    await room.tell(await room.task({**MAIL, "notify_on": occasions}), status, moment=moment)
    assert await told(room) == expected


async def test_a_webhook_is_sent_every_fact(room: Room) -> None:
    task = await room.task({**WEB, "notify_on": ["success", "failure", "paused", "recovery"]})
    await room.tell(task, "failed", moment="paused")
    await room.tell(task, "completed", moment="recovered")
    assert await told(room) == ["run.failed", "task.paused", "run.completed", "task.recovered"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"notify": True, "message": "Look!"}, ["run.completed"]),
        ({"notify": False, "message": "Nothing"}, []),
        ({"notify": "true"}, []),
        ({"message": "x"}, []),
        (None, []),
        ([True], []),
    ],
)
async def test_only_what_is_worth_telling(room: Room, data: Any, expected: list[str]) -> None:
    task = await room.task({**MAIL, "notify_on": ["success", "worth_telling"]})
    await room.tell(task, text=None, data=data)
    assert await told(room) == expected
    if expected:
        message = compose(await room.row(), BASE)
        assert message.markdown.startswith("Look!")


async def test_a_wait_is_told_once_for_each_set_of_decisions(room: Room) -> None:
    task = await room.task({**MAIL, "digest": {"every_seconds": 600}})
    run = run_of(task, "waiting", completed_at=None)
    first, second = approval_of(run), approval_of(run, tool="gmail_send")
    async with room.database.begin(room.owner.workspace_id) as unit:
        for asked in ([first], [first], [first, second], [second, first], []):
            await notifications.waiting(unit, task, run, asked)
    rows = await room.rows()
    assert [(row.event, row.status) for row in rows] == [("run.waiting", "pending")] * 2
    message = compose(rows[-1], BASE)
    assert message.subject == "Morning report: waits for your decision"
    assert "http_post" in message.markdown
    assert "gmail_send" in message.markdown
    assert message.data["approval_ids"] == sorted(str(one.id) for one in (first, second))


async def test_a_pause_of_the_platform_s_own_is_told(room: Room) -> None:
    task = await room.task(MAIL)
    paused = replace(task, paused_at=datetime.now(UTC))
    async with room.database.begin(room.owner.workspace_id) as unit:
        await notifications.task_paused(unit, paused, "It never fires.")
        await notifications.task_paused(unit, paused, "It never fires.")
    message = compose(await room.row(), BASE)
    assert (message.type, message.url) == ("task.paused", f"{BASE}/tasks/{task.id}")
    assert "It never fires." in message.markdown


async def test_a_huge_answer_is_cut_and_leads_on(room: Room) -> None:
    await room.tell(await room.task({**MAIL, **WEB, "channels": ["email", "webhook"]}), text="x" * 400_000)
    for row in await room.rows():
        message = compose(row, BASE)
        assert len(message.markdown) < 21_000
        assert message.markdown.endswith(f"{BASE}/runs/{row.run_id}")
        assert len(str(message.data)) < 22_000
