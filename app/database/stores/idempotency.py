"""Idempotency keys of one workspace: which request already created which object."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import idempotency_keys


@dataclass(frozen=True, slots=True)
class Remembered:
    """What an earlier request with the same key created, and the hash of its body."""

    body_hash: bytes
    object_id: UUID


class IdempotencyStore:
    """Claims over the idempotency keys of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def claim(
        self, principal: str, route: str, key: str, *, body_hash: bytes, object_id: UUID
    ) -> Remembered | None:
        """Take the key for the object that this unit creates, or say what an earlier unit created with it.

        A second request with the same key waits here until the first one's unit has ended. A key is forgotten
        after 24 hours.
        """
        where = self._is(principal, route, key)
        day_ago = func.app_now() - text("interval '24 hours'")
        await self._connection.execute(delete(idempotency_keys).where(where, idempotency_keys.c.created_at < day_ago))
        take = (
            upsert(idempotency_keys)
            .values(
                workspace_id=self._workspace_id,
                principal=principal,
                route=route,
                key=key,
                body_hash=body_hash,
                object_id=object_id,
            )
            .on_conflict_do_nothing(index_elements=["workspace_id", "principal", "route", "key"])
            .returning(idempotency_keys.c.object_id)
        )
        if (await self._connection.execute(take)).one_or_none() is not None:
            return None
        statement = select(idempotency_keys.c.body_hash, idempotency_keys.c.object_id).where(where)
        found = (await self._connection.execute(statement)).one()
        return Remembered(found.body_hash, found.object_id)

    async def point(self, principal: str, route: str, key: str, object_id: UUID) -> None:
        """Let a key that this unit took stand for an object whose id was not known then."""
        statement = update(idempotency_keys).where(self._is(principal, route, key)).values(object_id=object_id)
        await self._connection.execute(statement)

    def _is(self, principal: str, route: str, key: str) -> Any:
        return and_(
            idempotency_keys.c.workspace_id == self._workspace_id,
            idempotency_keys.c.principal == principal,
            idempotency_keys.c.route == route,
            idempotency_keys.c.key == key,
        )
