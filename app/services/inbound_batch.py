"""Many webhook requests in one transaction: stored once each, with the runs that they begin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.agents.text import clean
from app.database.stores.triggers import Standing
from app.database.unit import Across
from app.models.errors import RateLimited
from app.models.ids import new_id
from app.models.trigger import EventOutcome, InboundEvent, WebhookAnswer
from app.services import launch
from app.services.launch import Launch
from app.services.payloads import Payload, dedup_key, filtered, kept_headers, rendered
from app.services.signatures import Verdict, fresh
from app.services.triggers import Armed

WEBHOOK = "webhook"
"""What a run that a webhook began names as its trigger, its maker and its taint."""

MOST_WINDOWS = 10
OTHER_BODY = "Another body came under the same id; the first one counts."
AGAIN = "The same event had come before."

Answer = WebhookAnswer | RateLimited | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A request that was let in, and the row that it is to become."""

    armed: Armed
    verdict: Verdict
    payload: Payload
    event: dict[str, Any]

    @property
    def task_id(self) -> UUID:
        """The task that it is for."""
        return self.armed.task.id

    @property
    def key(self) -> tuple[UUID, str]:
        """What the event is known by."""
        return self.task_id, self.event["dedup_key"]


def event_of(armed: Armed, payload: Payload) -> dict[str, Any]:
    """The row of a request that was let in: filtered, held for others to come, or with the run it begins."""
    event_id, config = new_id(), armed.config
    reason = filtered(config, payload)
    outcome: EventOutcome = "filtered" if reason else "held" if config.debounce_seconds else "accepted"
    return {
        "workspace_id": armed.task.workspace_id,
        "id": event_id,
        "task_id": armed.task.id,
        "dedup_key": dedup_key(config, payload, event_id),
        "body": payload.body,
        "content_type": clean(payload.headers.get("content-type", ""))[:200],
        "headers": kept_headers(payload.headers),
        "scheme": config.scheme if armed.keys else "none",
        "outcome": outcome,
        "reason": reason,
        "run_id": new_id() if outcome == "accepted" else None,
    }


async def write(unit: Across, judged: Sequence[Judged]) -> list[Answer]:
    """Store the events and begin their runs; an answer to each, in order.

    None for a request that would be judged otherwise now: its task has changed since.
    """
    standing = await unit.triggers.standing(list({one.task_id for one in judged}))
    current = [one for one in judged if _stands(one, standing.get(one.task_id))]
    refused = await _over_limit(unit, current)
    # In one order everywhere: two processes that take the same repeated events in never wait for each other.
    wanted = sorted((one for one in current if one.key not in refused), key=lambda one: one.key)
    answers: dict[UUID, Answer] = {one.event["id"]: refused.get(one.key) for one in current}
    if wanted:
        new = await unit.triggers.add([one.event for one in wanted])
        fresh_ones = [one for one in wanted if one.event["id"] in new]
        await _begin(unit, fresh_ones, standing)
        answers |= {one.event["id"]: _answer(one.event) for one in fresh_ones}
        answers |= await _repeated(unit, [one for one in wanted if one.event["id"] not in new])
    return [answers.get(one.event["id"]) for one in judged]


def _stands(one: Judged, standing: Standing | None) -> bool:
    if standing is None or not one.armed.same(standing):
        return False
    return fresh(one.armed.config, one.verdict, standing.now.timestamp())


async def _over_limit(unit: Across, judged: Sequence[Judged]) -> dict[tuple[UUID, str], RateLimited]:
    """Events beyond their task's `max_per_minute`. One that had come before is not counted again."""
    limited = [one for one in judged if one.armed.config.max_per_minute is not None]
    if not limited:
        return {}
    counts = await unit.triggers.counts(list({one.task_id for one in limited}))
    known = await unit.triggers.earlier([(one.armed.task.workspace_id, *one.key) for one in limited])
    over: dict[tuple[UUID, str], RateLimited] = {}
    for one in limited:
        count, seconds = counts.get(one.task_id, (0, 60))
        if one.key in known or one.event["outcome"] == "filtered":
            continue
        if count >= (one.armed.config.max_per_minute or 0):
            detail = f"This webhook takes {one.armed.config.max_per_minute} events a minute."
            over[one.key] = RateLimited(detail, retry_after=seconds)
        counts[one.task_id] = (count + 1, seconds)
    return over


async def _begin(unit: Across, judged: Sequence[Judged], standing: Mapping[UUID, Standing]) -> None:
    """Begin the runs of new events; let the held ones wait."""
    launches = [
        Launch(
            task=standing[one.task_id].task,
            trigger=WEBHOOK,
            created_by=WEBHOOK,
            prompt=rendered(one.armed.task.prompt, one.armed.config, [one.payload]),
            taint=(WEBHOOK,),
            run_id=one.event["run_id"],
        )
        for one in judged
        if one.event["outcome"] == "accepted"
    ]
    if launches:
        await launch.begin(unit, launches)
    held = {one.task_id: one.armed for one in judged if one.event["outcome"] == "held"}
    for task_id, armed in sorted(held.items()):
        window = armed.config.debounce_seconds or 0.0
        await unit.triggers.hold(armed.task.workspace_id, task_id, window, window * MOST_WINDOWS)


async def _repeated(unit: Across, judged: Sequence[Judged]) -> dict[UUID, Answer]:
    """Answers to events that had come before: what the first one was answered."""
    if not judged:
        return {}
    known = await unit.triggers.earlier([(one.armed.task.workspace_id, *one.key) for one in judged])
    answers: dict[UUID, Answer] = {}
    altered: list[UUID] = []
    for one in judged:
        first = known.get(one.key)
        if first is None:
            continue
        other = first.body != one.payload.body
        if other:
            altered.append(first.id)
        answers[one.event["id"]] = _answer_again(first, OTHER_BODY if other else AGAIN)
    if altered:
        await unit.triggers.note(altered, OTHER_BODY)
    return answers


def _answer(event: Mapping[str, Any]) -> WebhookAnswer:
    run_id = event["run_id"]
    return WebhookAnswer(
        delivery_id=event["id"],
        outcome=event["outcome"],
        run_id=run_id,
        status_url=f"/runs/{run_id}" if run_id else None,
        reason=event["reason"],
    )


def _answer_again(first: InboundEvent, reason: str) -> WebhookAnswer:
    return WebhookAnswer(
        delivery_id=first.id,
        outcome=first.outcome,
        run_id=first.run_id,
        status_url=f"/runs/{first.run_id}" if first.run_id else None,
        reason=reason,
        duplicate=True,
    )
