"""Messages for runs that are active, within one workspace."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import steering
from app.database.rows import columns_of
from app.models.steering import Steering

COLUMNS = columns_of(steering, Steering)


class SteeringStore:
    """Queries over the messages for active runs. Whoever writes one holds the lock of its conversation."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def add(self, message_id: UUID, run_id: UUID, text: str, created_by: str) -> Steering:
        """Insert a message for a run and return it as stored."""
        statement = (
            insert(steering)
            .values(workspace_id=self._workspace_id, id=message_id, run_id=run_id, text=text, created_by=created_by)
            .returning(*COLUMNS)
        )
        return Steering(*(await self._connection.execute(statement)).one())

    async def get(self, message_id: UUID) -> Steering | None:
        """The message, or None when this workspace has none with that id."""
        statement = select(*COLUMNS).where(steering.c.workspace_id == self._workspace_id, steering.c.id == message_id)
        found = (await self._connection.execute(statement)).one_or_none()
        return Steering(*found) if found else None

    async def undelivered(self, run_ids: Sequence[UUID]) -> list[Steering]:
        """Messages for these runs that stand in no log and were not handed on, the oldest first."""
        statement = (
            select(*COLUMNS)
            .where(
                steering.c.workspace_id == self._workspace_id,
                steering.c.run_id.in_(run_ids),
                steering.c.delivered_at.is_(None),
                steering.c.next_run_id.is_(None),
            )
            .order_by(steering.c.id)
        )
        return [Steering(*row) for row in await self._connection.execute(statement)]

    async def deliver(self, message_ids: Sequence[UUID]) -> None:
        """Note that the messages stand in the log, in the commit that puts them there."""
        statement = update(steering).where(self._are(message_ids)).values(delivered_at=func.app_now())
        await self._connection.execute(statement)

    async def hand_on(self, message_ids: Sequence[UUID], run_id: UUID) -> None:
        """Note which run has the messages as its prompt."""
        await self._connection.execute(update(steering).where(self._are(message_ids)).values(next_run_id=run_id))

    def _are(self, message_ids: Sequence[UUID]) -> Any:
        return and_(steering.c.workspace_id == self._workspace_id, steering.c.id.in_(message_ids))
