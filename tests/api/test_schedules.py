"""Schedules over HTTP: looked at, saved, paused, made up for; and what became of every due time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from support.clock import clock, move

from app.database.connection import Database
from app.database.listening import notifications
from app.database.stores.occurrences import CHANNEL
from app.models.schedule import ScheduleIn
from app.services import firing

HOUR = timedelta(hours=1)
SEED = {"task_type": "scheduled", "prompt": "Summarize my inbox", "schedule_expression": "0 9 * * *"}


@pytest.fixture
async def ledger(app: FastAPI) -> AsyncGenerator[Database]:
    """The application's ledger; its clock is put back afterwards."""
    database: Database = app.state.runtime.database
    async with clock(database):
        yield database


async def make(client: httpx.AsyncClient, **schedule: Any) -> dict[str, Any]:
    body = {"task_type": "scheduled", "prompt": "Look around.", "schedule": schedule}
    answer = await client.post("/tasks", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def later(ledger: Database, by: timedelta) -> None:
    await move(ledger, by)
    await firing.fire_due(ledger)


async def occurrences(client: httpx.AsyncClient, task: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(f"/tasks/{task['id']}/occurrences", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_a_preview_in_words_with_local_times_and_notes(client: httpx.AsyncClient) -> None:
    body = {
        "schedule": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
        "after": "2027-03-27T12:00:00Z",
        "count": 2,
    }
    answer = await client.post("/schedules/preview", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "description": "At 02:30 (Europe/Berlin)",
        "occurrences": [
            {
                "utc": "2027-03-28T01:00:00Z",
                "local": "2027-03-28T03:00:00+02:00",
                "note": "02:30 does not exist on 2027-03-28; fires at 03:00.",
            },
            {"utc": "2027-03-29T00:30:00Z", "local": "2027-03-29T02:30:00+02:00", "note": None},
        ],
    }
    plain = (await client.post("/schedules/preview", json={"schedule": {"every": "15m"}})).json()
    assert plain["description"] == "Every 15 minutes"
    assert len(plain["occurrences"]) == 5
    once = {"schedule": {"at": "2030-01-01T00:00:00Z"}, "count": 3}
    assert len((await client.post("/schedules/preview", json=once)).json()["occurrences"]) == 1


@pytest.mark.parametrize(
    ("schedule", "loc"),
    [
        ({"cron": "61 * * * *"}, "body.schedule.cron"),
        ({"cron": "0 0 31 2 *"}, "body.schedule.cron"),
        ({"cron": "* * * * * *"}, "body.schedule.cron"),
        ({"cron": "0 9 * * *", "timezone": "../UTC"}, "body.schedule.timezone"),
        ({"every": 5}, "body.schedule.every"),
        ({"every": "soon"}, "body.schedule.every"),
        ({"at": "2026-01-01T00:00:00Z"}, "body.schedule.at"),
        ({"at": "2030-01-01T00:00:00"}, "body.schedule.at"),
        ({"cron": "0 9 * * *", "end_at": "2040-01-01T00:00:00Z"}, "body.schedule.end_at"),
        ({}, "body.schedule"),
    ],
)
async def test_what_cannot_be_used_names_its_field_at_both_doors(
    client: httpx.AsyncClient, schedule: dict[str, Any], loc: str
) -> None:
    task = {"task_type": "scheduled", "prompt": "Go", "schedule": schedule}
    for path, body in (("/schedules/preview", {"schedule": schedule}), ("/tasks", task)):
        answer = await client.post(path, json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["loc"] == loc, answer.text


async def test_the_seeds_example_is_saved_with_its_next_time(client: httpx.AsyncClient, ledger: Database) -> None:
    answer = await client.post("/tasks", json=SEED)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["status"], made["schedule_expression"], made["timezone"]) == ("active", "0 9 * * *", "UTC")
    assert made["description"] == "At 09:00 (UTC)"
    at = datetime.fromisoformat(made["next_run_at"])
    assert (at.hour, at.minute, at > datetime.now(UTC)) == (9, 0, True)
    assert made["last_run_id"] is None
    await later(ledger, at - datetime.now(UTC) + timedelta(seconds=1))
    [row] = await occurrences(client, made)
    assert (row["outcome"], row["due_at"], row["kind"]) == ("run", made["next_run_at"], "schedule")
    assert 0 <= row["late_seconds"] < 10
    seen = (await client.get(f"/tasks/{made['id']}")).json()
    assert (seen["last_run_id"], seen["runs_made"]) == (row["run_id"], 1)
    run = (await client.get(f"/runs/{row['run_id']}")).json()
    assert (run["trigger"], run["task_id"], run["pattern_type"]) == ("schedule", made["id"], "scheduled")


async def test_every_due_time_has_its_outcome_page_by_page(client: httpx.AsyncClient, ledger: Database) -> None:
    task = await make(client, every="1h", missed="none")
    await later(ledger, 3.5 * HOUR)
    await client.post(f"/tasks/{task['id']}/pause", json={"reason": "Moving house"})
    await later(ledger, 4.01 * HOUR)
    rows = await occurrences(client, task)
    assert [row["outcome"] for row in rows] == ["skipped_paused", *["skipped_missed"] * 3]
    assert rows[0]["reason"] == "The task was paused: Moving house"
    assert rows[1]["late_seconds"] > 1_700
    assert len(await occurrences(client, task, outcome="skipped_paused")) == 1
    first = (await client.get(f"/tasks/{task['id']}/occurrences", params={"limit": 3})).json()
    rest = {"limit": 3, "after": first["next_cursor"]}
    second = (await client.get(f"/tasks/{task['id']}/occurrences", params=rest)).json()
    assert [*first["data"], *second["data"]] == rows
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert (await client.get(f"/tasks/{task['id']}/occurrences", params={"outcome": "lost"})).status_code == 422


async def test_pause_and_resume(client: httpx.AsyncClient, ledger: Database) -> None:
    task = await make(client, every="1h")
    path = f"/tasks/{task['id']}"
    paused = (await client.post(f"{path}/pause")).json()
    assert (paused["status"], paused["pause_reason"]) == ("paused", None)
    assert paused["paused_by"].startswith("user:")
    again = (await client.post(f"{path}/pause", json={"reason": "Later"})).json()
    assert (again["pause_reason"], again["paused_at"]) == ("Later", paused["paused_at"])
    resumed = (await client.post(f"{path}/resume")).json()
    assert (resumed["status"], resumed["paused_at"], resumed["pause_reason"]) == ("active", None, None)
    assert resumed["next_run_at"] == task["next_run_at"]
    assert (await client.post(f"{path}/resume")).status_code == 200
    assert (await client.post(f"{path}/pause", json={"reason": ""})).status_code == 422
    await later(ledger, HOUR)
    assert [row["outcome"] for row in await occurrences(client, task)] == ["run"]


async def test_a_broken_schedule_is_resumed_only_once_it_is_mended(client: httpx.AsyncClient, app: FastAPI) -> None:
    task = await make(client, cron="0 * * * *")
    ledger: Database = app.state.runtime.database
    async with clock(ledger), ledger.across() as across:
        await across.connection.exec_driver_sql(
            "UPDATE tasks SET schedule = jsonb_set(schedule, '{timezone}', '\"Atlantis/Capital\"'),"
            " next_fire_at = app_now()"
        )
    await firing.fire_due(ledger)
    path = f"/tasks/{task['id']}"
    seen = (await client.get(path)).json()
    assert (seen["status"], seen["paused_by"], seen["next_run_at"]) == ("paused", "system", None)
    assert "time zone" in seen["description"]
    assert "time zone" in seen["pause_reason"]
    dues = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z"}
    assert (await client.post(f"{path}/backfill", json=dues)).json()["code"] == "schedule_broken"
    refused = await client.post(f"{path}/resume")
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, "body.schedule.timezone")
    mended = await client.patch(path, json={"schedule": {"cron": "0 * * * *"}})
    assert mended.status_code == 200, mended.text
    seen = (await client.post(f"{path}/resume")).json()
    assert (seen["status"], seen["next_run_at"] is not None) == ("active", True)


async def test_a_backfill_runs_each_due_time_once(client: httpx.AsyncClient, ledger: Database) -> None:
    task = await make(client, every="1h", missed="none")
    await later(ledger, 4.5 * HOUR)
    before = await occurrences(client, task)
    path = f"/tasks/{task['id']}/backfill"
    wanted = {"from": before[3]["due_at"], "to": before[0]["due_at"]}
    dry = (await client.post(path, json=wanted)).json()
    assert dry["dry_run"] is True
    assert [row["due_at"] for row in dry["occurrences"]] == [row["due_at"] for row in before[::-1]]
    assert {(row["outcome"], row["run_id"]) for row in dry["occurrences"]} == {("skipped_missed", None)}
    assert await occurrences(client, task) == before
    part = {**wanted, "to": before[2]["due_at"], "dry_run": False}
    wet = (await client.post(path, json=part)).json()["occurrences"]
    assert len(wet) == 2
    assert (await client.post(path, json=part)).json()["occurrences"] == []
    rest = await asyncio.gather(*(client.post(path, json={**wanted, "dry_run": False}) for _ in range(4)))
    assert sorted(len(one.json()["occurrences"]) for one in rest) == [0, 0, 0, 2]
    rows = await occurrences(client, task)
    assert [row["outcome"] for row in rows] == ["run"] * 4
    assert {row["kind"] for row in rows} == {"backfill"}
    assert rows[3]["reason"] == "Made up for by a backfill; it was skipped_missed."
    assert rows[0]["late_seconds"] is None
    runs = (await client.get("/runs", params={"task_id": task["id"]})).json()["data"]
    assert {run["id"] for run in runs} == {row["run_id"] for row in rows}
    assert {run["trigger"] for run in runs} == {"backfill"}


async def test_a_backfill_may_reach_back_before_the_task(client: httpx.AsyncClient) -> None:
    task = await make(client, cron="0 9 * * *")
    end = datetime.now(UTC)
    wanted = {"from": (end - timedelta(days=200)).isoformat(), "to": end.isoformat()}
    dry = (await client.post(f"/tasks/{task['id']}/backfill", json=wanted)).json()
    assert (len(dry["occurrences"]), dry["has_more"]) == (100, True)
    assert {row["outcome"] for row in dry["occurrences"]} == {None}


async def test_backfills_that_are_refused(client: httpx.AsyncClient) -> None:
    task = await make(client, every="1m")
    path, now = f"/tasks/{task['id']}/backfill", datetime.now(UTC)

    def ask(since: timedelta, until: timedelta, **more: Any) -> dict[str, Any]:
        return {"from": (now + since).isoformat(), "to": (now + until).isoformat(), **more}

    for body in (
        {},
        ask(-HOUR, -2 * HOUR),
        ask(-HOUR, HOUR),
        ask(-timedelta(days=2_000), -HOUR),
        ask(-timedelta(days=30), -HOUR),
        ask(-HOUR, -HOUR, dry_run="yes"),
        {"since": now.isoformat(), "until": now.isoformat()},
    ):
        assert (await client.post(path, json=body)).status_code == 422, body
    await client.post(f"/tasks/{task['id']}/disable")
    answer = await client.post(path, json=ask(-HOUR, -HOUR / 2, dry_run=False))
    assert (answer.status_code, answer.json()["code"]) == (409, "task_disabled")
    other = (await client.post("/tasks", json={"task_type": "delegation", "prompt": "Go"})).json()
    answer = await client.post(f"/tasks/{other['id']}/backfill", json=ask(-2 * HOUR, -HOUR))
    assert (answer.status_code, answer.json()["code"]) == (409, "task_not_scheduled")


async def test_scopes(client: httpx.AsyncClient, app: FastAPI) -> None:
    task = await make(client, every="1h")
    key = (await client.post("/api-keys", json={"name": "reader", "scopes": ["tasks:read"]})).json()["key"]
    headers = {"X-Api-Key": key}
    assert (await client.get(f"/tasks/{task['id']}/occurrences", headers=headers)).status_code == 200
    wanted = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z"}
    for verb, body in (("pause", None), ("resume", None), ("backfill", wanted)):
        answer = await client.post(f"/tasks/{task['id']}/{verb}", json=body, headers=headers)
        assert answer.status_code == 403, (verb, answer.text)


async def test_a_null_for_pausing_after_failures_is_kept(client: httpx.AsyncClient) -> None:
    task = await make(client, every="1h", pause_after_failures=None)
    assert ScheduleIn.model_validate(task["schedule"]).pause_after_failures is None


async def test_schedulers_hear_of_every_edit(client: httpx.AsyncClient, database_url: str) -> None:
    async with aclosing(notifications(database_url, CHANNEL)) as words, asyncio.timeout(20):
        await anext(words)
        task = await make(client, every="1h")
        await anext(words)
        path = f"/tasks/{task['id']}"
        for method, to, body in (
            ("PATCH", path, {"schedule": {"every": "2h"}}),
            ("POST", f"{path}/pause", None),
            ("POST", f"{path}/resume", None),
        ):
            assert (await client.request(method, to, json=body)).status_code == 200
            await anext(words)
