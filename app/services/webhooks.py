"""Webhooks of a task as people handle them: tried out, looked through, replayed; and events that wait for others."""

from typing import Literal
from uuid import UUID

import pydantic_core

from app.agents.text import clean
from app.database.unit import Across, Unit
from app.integrations.vault import Vault
from app.models.errors import Conflict, InvalidInput, NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.task import Task
from app.models.trigger import (
    EventOutcome,
    InboundEvent,
    RotateIn,
    SecretOut,
    TriggerConfig,
    TryIn,
    TryOut,
    WebhookAnswer,
    WebhookEventDetail,
    WebhookEventOut,
)
from app.services import launch, users, webhook_secrets
from app.services.idempotency import Once, earlier
from app.services.inbound_batch import WEBHOOK
from app.services.launch import Launch
from app.services.payloads import Payload, dedup_key, rendered, test, variables
from app.services.signatures import verify
from app.services.triggers import PATTERN, Gate, config_of, keys_of, takes_unsigned

MOST_TOGETHER = 50
"""How many held events begin one run together; the rest begin the next one."""

OFF_SECONDS = 60
"""How often a task that was switched off with held events is looked at again."""

_SHOWN_CHARACTERS = 20_000


async def _task(unit: Unit, principal: Principal, task_id: UUID, *, lock: bool = False) -> Task:
    row = await (unit.tasks.lock(task_id) if lock else unit.tasks.get(task_id))
    if row is None:
        raise NotFound("There is no such task.", code="task_not_found")
    users.check_visible(principal, row.user_id, "task")
    if row.pattern != PATTERN:
        raise Conflict("Only triggered tasks have a webhook.", code="no_webhook")
    return row


async def rotate(
    unit: Unit, principal: Principal, task_id: UUID, wanted: RotateIn, *, vault: Vault, base_url: str
) -> SecretOut:
    """Replace the secret of a task's webhook. Raises NotFound, Conflict, InvalidInput."""
    row = await _task(unit, principal, task_id, lock=True)
    secret, ends = await webhook_secrets.rotate(unit, vault, row, wanted)
    return SecretOut(webhook_secret=secret, webhook_url=f"{base_url}/tasks/webhooks/{row.id}", previous_expires_at=ends)


async def try_out(unit: Unit, principal: Principal, task_id: UUID, wanted: TryIn, *, gate: Gate) -> TryOut:
    """What would become of a request, without any effect. Raises NotFound, Conflict, InvalidInput."""
    row = await _task(unit, principal, task_id)
    config = config_of(row, gate)
    payload = _payload(wanted)
    verdict = await _verdict(unit, row, config, payload, gate)
    tried = [test(condition, payload) for condition in config.filter]
    passes = all(one.holds for one in tried)
    key = dedup_key(config, payload, new_id())
    again = await unit.inbound.known(row.id, key)
    off = row.disabled_at is not None or row.paused_at is not None
    return TryOut(
        verdict=verdict,
        scheme=config.scheme,
        filter=tried,
        filtered=not passes,
        duplicate=again,
        dedup_key=key,
        variables=variables(config, payload),
        prompt=rendered(row.prompt, config, [payload]),
        would_run=verdict != "invalid" and passes and not again and not off,
    )


def _payload(wanted: TryIn) -> Payload:
    if wanted.body_text is not None and "body" in wanted.model_fields_set:
        raise InvalidInput("body.body_text: give it or body, not both.")
    text = wanted.body_text
    raw = text.encode() if text is not None else pydantic_core.to_json(wanted.body) if wanted.body is not None else b""
    return Payload(raw, {name.lower(): value for name, value in wanted.headers.items()})


async def _verdict(
    unit: Unit, row: Task, config: TriggerConfig, payload: Payload, gate: Gate
) -> Literal["valid", "invalid", "unsigned"]:
    secrets = [(one.id, one.sealed) for one in await unit.inbound.secrets(row.id)]
    if takes_unsigned(config, secrets, gate):
        return "unsigned"
    keys = keys_of(row, config, secrets, gate)
    now = (await unit.inbound.now()).timestamp()
    return "valid" if verify(config, keys, payload.headers, payload.body, now).holds else "invalid"


async def page(
    unit: Unit,
    principal: Principal,
    task_id: UUID,
    *,
    limit: int,
    after: UUID | None,
    outcome: EventOutcome | None = None,
) -> list[InboundEvent]:
    """Events that came to a task's webhook, the newest first. Raises NotFound, Conflict."""
    row = await _task(unit, principal, task_id)
    return await unit.inbound.page(row.id, limit=limit, after=after, outcome=outcome)


async def get(unit: Unit, principal: Principal, task_id: UUID, event_id: UUID) -> InboundEvent:
    """One event that came. Raises NotFound, Conflict."""
    row = await _task(unit, principal, task_id)
    found = await unit.inbound.get(row.id, event_id)
    if found is None:
        raise NotFound("There is no such delivery.", code="delivery_not_found")
    return found


async def replay(
    unit: Unit, principal: Principal, task_id: UUID, event_id: UUID, *, once: Once | None
) -> tuple[WebhookAnswer, bool]:
    """Begin a new run with an event that came, past filter and deduplication; also whether that was done before.

    Raises NotFound, and Conflict for a task that is disabled or paused.
    """
    row = await _task(unit, principal, task_id, lock=True)
    event = await get(unit, principal, task_id, event_id)
    if row.disabled_at is not None or row.paused_at is not None:
        raise Conflict("The task is switched off. Enable or resume it first.", code="task_disabled")
    again_id = new_id()
    existing = await earlier(unit, once, again_id)
    if existing is not None:
        return answer_of(await get(unit, principal, task_id, existing)), True
    config = TriggerConfig.model_validate(row.trigger or {})
    prompt = rendered(row.prompt, config, [Payload(event.body, event.headers)])
    begun = Launch(task=row, trigger=WEBHOOK, created_by=principal.id, prompt=prompt, taint=(WEBHOOK,))
    made = await unit.inbound.add(
        {
            "id": again_id,
            "task_id": row.id,
            "dedup_key": f"replay:{again_id}",
            "body": event.body,
            "content_type": event.content_type,
            "headers": event.headers,
            "scheme": event.scheme,
            "outcome": "replayed",
            "reason": f"Replayed by {principal.id}.",
            "run_id": begun.run_id,
            "replay_of": event.id,
        }
    )
    await launch.begin(unit, [begun])
    return answer_of(made), False


async def fire_debounced(unit: Across, task: Task) -> None:
    """Begin one run with the events that a triggered task holds, and let the next come when there are more.

    The caller has locked the task's row. A task that was switched off meanwhile keeps its events for later.
    """
    off = task.disabled_at is not None or task.paused_at is not None
    events = [] if off else await unit.triggers.held(task.workspace_id, task.id, MOST_TOGETHER)
    if events:
        config = TriggerConfig.model_validate(task.trigger or {})
        prompt = rendered(task.prompt, config, [Payload(event.body, event.headers) for event in events])
        begun = Launch(task=task, trigger=WEBHOOK, created_by=WEBHOOK, prompt=prompt, taint=(WEBHOOK,))
        await launch.begin(unit, [begun])
        await unit.triggers.merge(task.workspace_id, [event.id for event in events], begun.run_id)
    await unit.triggers.fire_again(task.workspace_id, task.id, OFF_SECONDS if off else 0)


def answer_of(event: InboundEvent) -> WebhookAnswer:
    """What is told of an event that was stored."""
    return WebhookAnswer(
        delivery_id=event.id,
        outcome=event.outcome,
        run_id=event.run_id,
        status_url=f"/runs/{event.run_id}" if event.run_id else None,
        reason=event.reason,
    )


def shown(event: InboundEvent) -> WebhookEventOut:
    """An event as a list shows it."""
    return WebhookEventOut(
        **{name: getattr(event, name) for name in WebhookEventOut.model_fields if name != "size"}, size=len(event.body)
    )


def shown_whole(event: InboundEvent) -> WebhookEventDetail:
    """An event with its headers and its body as text."""
    text = clean(event.body.decode("utf-8", "replace"))
    return WebhookEventDetail(
        **dict(shown(event)),
        headers=event.headers,
        body=text[:_SHOWN_CHARACTERS],
        body_cut=len(text) > _SHOWN_CHARACTERS,
    )
