"""The command line on schedules and deliveries: what a person at the terminal sees and may do."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from support.far_inbox import far_inbox
from support.forks import sixlane
from support.notices import means_of, open_room
from support.programs import clean_environment

from app.database.connection import Database
from app.services import firing

MISSING = "0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11"


class Terminal:
    """Runs `sixlane` on the test's own ledger."""

    def __init__(self, database_url: str, redis_url: str, folder: Path) -> None:
        self._folder = folder
        given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SIXLANE_DATA": str(folder / "cli")}
        self._environment = clean_environment(**given, SIXLANE_LOG_LEVEL="error")

    async def say(self, *words: object) -> str:
        """What a command prints."""
        return await asyncio.to_thread(sixlane, *words, folder=self._folder, environment=self._environment)

    async def data(self, *words: object) -> Any:
        """What a command prints as JSON."""
        return json.loads(await self.say(*words, "--json"))


@pytest.fixture
def terminal(database_url: str, redis_url: str, tmp_path: Path) -> Terminal:
    return Terminal(database_url, redis_url, tmp_path)


async def test_schedules_say_what_runs_next_and_why_nothing_did(
    client: httpx.AsyncClient, database: Database, terminal: Terminal
) -> None:
    assert "No task is scheduled" in await terminal.say("schedules")
    order = {"task_type": "scheduled", "prompt": "Say good morning", "title": "Morning"}
    schedule = {"cron": "0 9 * * 1-5", "timezone": "America/New_York", "missed": "none"}
    made = (await client.post("/tasks", json={**order, "schedule": schedule})).json()
    (row,) = await terminal.data("schedules")
    assert (row["title"], row["state"], row["timezone"]) == ("Morning", "active", "America/New_York")
    assert " 09:00:00-0" in row["next_run_at"], "in its own zone"
    assert row["last"] is None

    async with database.across() as unit:
        ago = "date_trunc('day', app_now()) - interval '10 days' + interval '14 hours'"
        await unit.connection.execute(text(f"UPDATE tasks SET next_due_at = {ago}, next_fire_at = {ago}"))
    await firing.fire_due(database)
    await client.post(f"/tasks/{made['id']}/pause", json={"reason": "on holiday"})
    shown = await terminal.say("schedules", "show", made["id"], "--limit", "3")
    assert "paused: At 09:00" in shown
    assert "why    on holiday" in shown
    assert shown.count("skipped_missed") == 4, "the latest one, and the three that were asked for"
    assert "makes up for nothing" in shown
    detail = await terminal.data("schedules", "show", made["id"])
    assert {one["outcome"] for one in detail["occurrences"]} == {"skipped_missed"}
    assert detail["next_run_at"] is None
    with pytest.raises(AssertionError, match="no such scheduled task"):
        await terminal.say("schedules", "show", MISSING)


async def test_deliveries_are_listed_shown_and_sent_again(database: Database, terminal: Terminal) -> None:
    assert "No notification" in await terminal.say("deliveries")
    with far_inbox() as far:
        async with open_room(database, means_of(allow=[far.netloc], seconds=2)) as room:
            far.usual = (410, {}, "gone away")
            task = await room.task({"channels": ["webhook"], "webhook_url": f"{far.url}/hook?secret=1"})
            await room.tell(task)
            await room.deliver()
            (row,) = await terminal.data("deliveries", "--status", "failed")
            assert (row["channel"], row["attempts"]) == ("webhook", 1)
            listed = await terminal.say("deliveries")
            assert f"{row['id']}  failed  webhook" in listed
            assert "secret=1" not in listed
            assert await terminal.data("deliveries", "--status", "dead") == []
            shown = await terminal.say("deliveries", "show", row["id"])
            assert "410" in shown
            assert "gone away" in shown
            assert '"run.completed"' in shown

            far.usual = (200, {}, "ok")
            assert "Will be sent again as" in await terminal.say("deliveries", "resend", row["id"])
            await room.deliver()
            first, again = sorted(await terminal.data("deliveries"), key=lambda one: one["created_at"])
            assert (first["status"], again["status"], again["resend_of"]) == ("failed", "sent", row["id"])
    for words, said in (
        (("deliveries", "show", MISSING), "no such delivery"),
        (("deliveries", "--status", "lost"), "There is no status 'lost'; use one of pending"),
    ):
        with pytest.raises(AssertionError, match=said):
            await terminal.say(*words)


async def test_alive_tells_whether_a_process_of_the_role_works_here(
    client: httpx.AsyncClient, terminal: Terminal
) -> None:
    with pytest.raises(AssertionError, match="No worker on"):
        await terminal.say("alive", "worker")
    for _ in range(100):
        if [one for one in (await client.get("/info")).json()["processes"] if one["role"] == "api"]:
            break
        await asyncio.sleep(0.05)
    assert await terminal.say("alive", "api") == ""
