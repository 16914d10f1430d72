"""The steps of the tour: each shows one way to run agents, over the same HTTP that every client speaks."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from app.cli.tour_stage import Stage, StepFailed, compact
from app.integrations.platform_client import Event, Refused
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


async def sidekick(stage: Stage) -> None:
    """Share an application's state, take a change that is proposed, and answer a call of the application's own tool."""
    state = {"invoice": {"number": "2026-17", "total": 120, "status": "draft"}, "page": "start"}
    conversation = await stage.conversation("sidekick", context_data=state, client_tools=[_OPEN_PAGE])
    stage.tell("app", compact(state))
    stage.tell("agent", (await stage.turn(conversation, "What is the invoice total?")).text)

    async def take(event: Event) -> None:
        stage.tell("proposed", f"{compact(event['patch'])}  ({event['why']})")
        change = {"patch": event["patch"], "version": event["base_version"]}
        now = await stage.client.call("PATCH", f"/conversations/{conversation}/context", change)
        stage.tell("app", f"takes it: version {now['version']}, {compact(now['context_data'])}")

    await stage.turn(conversation, "Set the invoice status to sent.", {"context.patch": take})

    async def open_page(event: Event) -> None:
        if event.get("client"):
            stage.tell("app", f"is asked for {event['tool']} {compact(event['arguments'])}, and answers")
            result = {"tool_call_id": event["tool_call_id"], "content": {"shown": event["arguments"].get("page")}}
            await stage.client.call("POST", f"/runs/{event['run_id']}/tool-results", {"results": [result]})

    seen = await stage.turn(conversation, 'Open the page "invoices".', {"tool.call": open_page})
    stage.tell("agent", seen.text)


_OPEN_PAGE = {
    "name": "open_page",
    "description": "Open a page of the application.",
    "parameters": {
        "type": "object",
        "properties": {"page": {"type": "string", "description": "start, invoices or customers"}},
        "required": ["page"],
    },
}


async def delegation(stage: Stage) -> None:
    """Define an agent that has to ask, hand it a task, and decide."""
    agent = await _asking_agent(stage)
    order = {"task_type": "delegation", "title": "Tour: a dozen", "prompt": "Calculate 12 * 12.", "agent": agent}
    task = await stage.make("/tasks", order, name="task")
    stage.tell("task", f"{task['prompt']}  (accepted at once: {task['status']})")

    async def decide(event: Event) -> None:
        approval = await stage.client.call("GET", f"/approvals/{event['approval_id']}")
        stage.tell("asked", f"{approval['tool']} {compact(approval['arguments'])}: {approval['reason']}")
        await stage.client.call("POST", f"/approvals/{approval['id']}/decision", {"decision": "approve"})
        stage.tell("approval", "approved")

    seen = await stage.follow(task["last_run_id"], {"approval.requested": decide})
    stage.tell("result", seen.text)
    usage = seen.end["usage"]
    stage.tell("used", f"{usage['requests']} requests, {usage['total_tokens']} tokens")
    await _document(stage)


async def _document(stage: Stage) -> None:
    """Have the agent runner extract the facts of the document that comes with Sixlane."""
    task_run = stage.links["run"]
    try:
        begun = await stage.client.call("POST", "/agents/run", {"agent_type": "document-extractor"})
    except Refused as error:
        if error.status == 409:
            stage.tell("document", str(error))
        elif error.status not in (404, 405):  # a server that has no runner yet
            raise
        return
    await stage.follow(begun["run_id"])
    told = await stage.client.call("GET", f"/agents/status/{begun['run_id']}")
    facts: dict[str, Any] = told["result_data"] or {}
    dates = ", ".join(str(row.get("date")) for row in facts.get("dates", []))
    amounts = ", ".join(f"{row.get('amount')} {row.get('currency')}" for row in facts.get("amounts", []))
    stage.tell("document", f"{told['agent_type']}: {facts.get('title')} ({facts.get('document_type')})")
    stage.tell("", f"dates: {dates}; amounts: {amounts}")
    stage.links.update(run=task_run, document=f"{stage.client.url}/agents/status/{begun['run_id']}")


async def _asking_agent(stage: Stage) -> str:
    name = "tour-clerk"
    wanted = {
        "name": name,
        "description": "Made by the tour: calculates, and asks before it does.",
        "instructions": "Calculate what you are asked for with the calculator, and hand in the result.",
        "tools": ["calculator"],
        "policies": {"calculator": "ask"},
    }
    try:
        await stage.make("/agents", wanted, name="agent")
    except Refused as error:
        if error.code != "agent_name_taken":
            raise
        stage.made.append(("agent", f"/agents/{name}"))  # of a tour that was cut short
    stage.tell("agent", f"{name}: its calculator has to ask a person first")
    return name


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
    for _ in range(_DUE_SECONDS * 4):
        await asyncio.sleep(0.25)
        rows = (await stage.client.call("GET", f"/tasks/{task_id}/occurrences"))["data"]
        if rows and rows[0]["run_id"]:
            stage.tell("due", f"became a run {(rows[0]['late_seconds'] or 0) * 1000:.0f} ms after its time")
            return rows[0]
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


async def research(stage: Stage) -> None:
    """Have a question researched in parts at once, and get a report whose sources were read."""
    topic = "How do tides arise, what is solar power good for, and who needs lighthouses?"
    options = {"breadth": 3, "sources": ["corpus"]}
    order = {"task_type": "research", "title": "Tour: research", "prompt": topic, "options": options}
    task = await stage.make("/tasks", order, name="task")
    stage.tell("task", topic)
    known: dict[str, str] = {}

    async def plan(event: Event) -> None:
        now = {step["title"]: step["status"] for step in event["steps"]}
        if not known:
            stage.tell("plan", "; ".join(now))
        ended = [title for title, status in now.items() if status != "open" and known.get(title) != status]
        if ended:
            stage.tell("", f"{event['done']:.0%}  {', '.join(f'{now[title]}: {title}' for title in ended)}")
        known.update(now)

    seen = await stage.follow(task["last_run_id"], {"plan.updated": plan})
    stage.tell("result", seen.text)
    sources = await stage.client.call("GET", f"/runs/{task['last_run_id']}/sources")
    parts = (await stage.client.call("GET", f"/runs?parent_run_id={task['last_run_id']}"))["data"]
    stage.tell("read", f"{len(sources)} sources by {len(parts)} researchers, each a run of its own")


STEPS: tuple[Step, ...] = (
    Step("chatbot", "a live conversation, streamed", chatbot),
    Step("sidekick", "beside an application", sidekick),
    Step("delegation", "a task handed over, with a decision to make", delegation),
    Step("scheduled", "by the clock", scheduled),
    Step("triggered", "by a signed webhook", triggered),
    Step("research", "a report with sources", research),
)
"""In the order in which they are shown."""
