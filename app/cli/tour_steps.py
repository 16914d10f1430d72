"""The steps of the tour: each shows one way to run agents, over the same HTTP that every client speaks."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from app.cli.tour_stage import Stage, StepFailed
from app.integrations.platform_client import Refused
from app.integrations.standard_webhooks import secret_bytes, signed_headers

_DUE_SECONDS = 20
"""How long the tour waits for a due time to become a run."""


class Step(NamedTuple):
    """One step: the pattern that it shows, what it is about, and what it does."""

    pattern: str
    title: str
    act: Callable[[Stage], Awaitable[None]]


async def chatbot(stage: Stage) -> None:
    """Talk, streamed, with tools."""
    conversation = await stage.conversation("chatbot")
    seen = await stage.turn(conversation, "What is 6 * 7, and what time is it in Asia/Tokyo?")
    stage.tell("agent", seen.text)
    if seen.first_seconds is not None:
        stage.tell("stream", f"{seen.pieces} pieces, the first after {seen.first_seconds * 1000:.0f} ms")


async def delegation(stage: Stage) -> None:
    """Hand a task over, watch it from elsewhere, and have a second one follow it."""
    order = {"task_type": "delegation", "title": "Tour: a dozen", "prompt": "Calculate 12 * 12."}
    task = await stage.make("/tasks", order, name="task")
    stage.tell("task", f"{order['prompt']}  (accepted at once: {task['status']})")
    seen = await stage.follow(task["last_run_id"])
    stage.tell("result", seen.text)
    usage = seen.end["usage"]
    stage.tell("used", f"{usage['requests']} requests, {usage['total_tokens']} tokens")


async def scheduled(stage: Stage) -> None:
    """Look ahead over a change of the clocks, then let something come due."""
    body = {
        "schedule": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
        "after": "2027-03-27T12:00:00Z",
        "count": 2,
    }
    ahead = await stage.client.call("POST", "/schedules/preview", body)
    stage.tell("ahead", f"cron 30 2 * * *, Europe/Berlin: {ahead['description']}")
    for one in ahead["occurrences"]:
        stage.tell("", f"{one['local']}{'  ' + one['note'] if one.get('note') else ''}")
    due = datetime.now(UTC) + timedelta(seconds=1.2)
    order = {
        "task_type": "scheduled",
        "title": "Tour: soon",
        "prompt": "Which day is it?",
        "schedule": {"at": due.isoformat()},
    }
    task = await stage.make("/tasks", order, name="task")
    stage.tell("task", f"{order['prompt']}  (once, at {due.isoformat(timespec='milliseconds')})")
    fired = await _fired(stage, task["id"])
    seen = await stage.follow(fired["run_id"])
    stage.tell("result", seen.text)


async def _fired(stage: Stage, task_id: str) -> dict[str, Any]:
    for _ in range(_DUE_SECONDS * 10):
        rows = (await stage.client.call("GET", f"/tasks/{task_id}/occurrences"))["data"]
        if rows and rows[0]["run_id"]:
            stage.tell("due", f"became a run {(rows[0]['late_seconds'] or 0) * 1000:.0f} ms after its time")
            return rows[0]
        await asyncio.sleep(0.1)
    raise StepFailed(f"nothing came due within {_DUE_SECONDS} s; is a scheduler running?")


async def triggered(stage: Stage) -> None:
    """Send a signed webhook, send it again, and send one that nobody signed."""
    order = {
        "task_type": "triggered",
        "title": "Tour: an order came in",
        "prompt": "Calculate {{count}} * {{price}}.",
        "trigger_config": {"scheme": "standard", "mapping": {"count": "$.count", "price": "$.price"}},
    }
    task = await stage.make("/tasks", order, name="task")
    stage.tell("task", task["prompt"])
    path = f"/tasks/webhooks/{task['id']}"
    event = json.dumps({"event": "order.created", "count": 3, "price": 19})
    headers = signed_headers(secret_bytes(task["webhook_secret"]), f"tour-{uuid4()}", event)
    taken = await stage.client.call("POST", path, event.encode(), headers=headers)
    stage.tell("webhook", f"{event}  (signed: {taken['outcome']})")
    again = await stage.client.call("POST", path, event.encode(), headers=headers)
    if not again["duplicate"] or again["run_id"] != taken["run_id"]:
        raise StepFailed("the same event made a second run")
    stage.tell("", "the same once more: known already, no second run")
    try:
        await stage.client.call("POST", path, event.encode())
        raise StepFailed("an unsigned event was taken")
    except Refused as error:
        stage.tell("", f"without a signature: refused with {error.status}")
    seen = await stage.follow(taken["run_id"])
    stage.tell("result", seen.text)


STEPS: tuple[Step, ...] = (
    Step("chatbot", "a live conversation, streamed", chatbot),
    Step("delegation", "a task handed over", delegation),
    Step("scheduled", "by the clock", scheduled),
    Step("triggered", "by a signed webhook", triggered),
)
"""In the order in which they are shown."""
