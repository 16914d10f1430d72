"""Idempotency-Key: a request that creates something is carried out once, however often it is sent."""

from dataclasses import dataclass
from uuid import UUID

from app.database.unit import Unit
from app.models.errors import InvalidInput
from app.models.identity import Principal


@dataclass(frozen=True, slots=True)
class Once:
    """The key that a client sent with a creating request: for which route, with which body (its SHA-256)."""

    principal: Principal
    route: str
    key: str
    body_hash: bytes


async def earlier(unit: Unit, once: Once | None, object_id: UUID) -> UUID | None:
    """What an earlier request with this key created; None when `object_id` is to be created now, in this unit.

    A second request waits until the first one's unit has ended. Raises InvalidInput when the key came with
    another body before.
    """
    if once is None:
        return None
    found = await unit.idempotency.claim(
        once.principal.id, once.route, once.key, body_hash=once.body_hash, object_id=object_id
    )
    if found is None:
        return None
    if found.body_hash != once.body_hash:
        raise InvalidInput("This Idempotency-Key was used with another body before.", code="idempotency_key_reused")
    return found.object_id


async def settle(unit: Unit, once: Once | None, object_id: UUID) -> None:
    """Say what this unit created, when its id was not known at the time of `earlier`."""
    if once is not None:
        await unit.idempotency.point(once.principal.id, once.route, once.key, object_id)
