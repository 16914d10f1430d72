"""Deliveries as people see them: listed, shown with what was sent, and sent again."""

import asyncio
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from app.channels import form_of
from app.database.unit import Unit
from app.integrations.standard_webhooks import secret_text
from app.integrations.vault import Vault
from app.models.delivery import (
    ENDED,
    AttemptOut,
    Delivery,
    DeliveryDetail,
    DeliveryOut,
    PreviewOut,
    SigningSecretOut,
)
from app.models.errors import Conflict, NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.services import users
from app.services.idempotency import Once, earlier
from app.services.rendering import compose

_SHOWN = [name for name in DeliveryOut.model_fields if name not in ("target", "subject", "user_id", "due_at")]


def signing_secret(vault: Vault, workspace_id: UUID) -> bytes:
    """What a workspace's outgoing webhooks are signed with; it follows the first key of the ring."""
    return vault.derived("outgoing webhooks", str(workspace_id))


def shown_secret(vault: Vault, workspace_id: UUID) -> SigningSecretOut:
    """The same in the form that receivers configure."""
    return SigningSecretOut(secret=secret_text(signing_secret(vault, workspace_id)))


async def get(unit: Unit, principal: Principal, delivery_id: UUID) -> Delivery:
    """The delivery. Raises NotFound, also for one of a user whom the principal does not stand for."""
    row = await unit.deliveries.get(delivery_id)
    if row is None:
        raise NotFound("There is no such delivery.", code="delivery_not_found")
    users.check_visible(principal, row.user_id, "delivery")
    return row


async def page(
    unit: Unit,
    principal: Principal,
    *,
    limit: int,
    after: UUID | None,
    user_id: str | None = None,
    **equal: str | UUID | None,
) -> list[Delivery]:
    """Deliveries, the newest first; of one user when `user_id` names one, and with the columns that `equal` names."""
    whose, nobody = await users.filtered(unit, principal, user_id)
    if nobody:
        return []
    return await unit.deliveries.page(limit=limit, after=after, user_id=whose, **equal)


async def show(unit: Unit, rows: list[Delivery], *, base_url: str | None) -> list[DeliveryOut]:
    """Deliveries as clients see them; what could be a secret in a target is left out."""
    names = await unit.users.names([row.user_id for row in rows])
    return [DeliveryOut.model_validate(_values(row, names[row.user_id], base_url)) for row in rows]


async def detail(unit: Unit, row: Delivery, *, base_url: str | None) -> DeliveryDetail:
    """A delivery with its attempts and with what is sent."""
    names = await unit.users.names([row.user_id])
    tries = [AttemptOut.model_validate(attempt) for attempt in await unit.deliveries.attempts(row.id)]
    rendered = await asyncio.to_thread(form_of, row.channel, compose(row, base_url))
    return DeliveryDetail.model_validate(
        {
            **_values(row, names[row.user_id], base_url),
            "tries": tries,
            "preview": PreviewOut.model_validate(rendered),
        }
    )


def _values(row: Delivery, user: str, base_url: str | None) -> dict[str, Any]:
    return {
        **{name: getattr(row, name) for name in _SHOWN},
        "target": masked(row.channel, row.target["to"]),
        "subject": compose(row, base_url).subject,
        "user_id": user,
        "due_at": None if row.status in ENDED else row.due_at,
    }


def masked(channel: str, to: str) -> str:
    """A target as people may see it: of an address only the host, since the rest may let anyone post there."""
    if not to:
        return "default"
    if "://" not in to:
        return to
    parts = urlsplit(to)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…"


async def resend(unit: Unit, principal: Principal, delivery_id: UUID, *, once: Once | None) -> tuple[Delivery, bool]:
    """Send it again, as a delivery of its own that receivers know by the first one's id; also whether an earlier
    request had done so.

    Raises NotFound, and Conflict while the first one is still on its way.
    """
    row = await get(unit, principal, delivery_id)
    again_id = new_id()
    existing = await earlier(unit, once, again_id)
    if existing is not None:
        return await get(unit, principal, existing), True
    if row.status not in ENDED:
        raise Conflict("The delivery is still on its way.", code="delivery_not_ended", extra={"status": row.status})
    again = await unit.deliveries.add(
        {
            "id": again_id,
            "user_id": row.user_id,
            "task_id": row.task_id,
            "run_id": row.run_id,
            "event": row.event,
            "channel": row.channel,
            "target": row.target,
            "content": {**row.content, "key": row.content.get("key") or str(row.id)},
            "status": "pending",
            "resend_of": row.id,
            "dedup_key": f"resend:{again_id}",
        }
    )
    assert again is not None
    return again, False
