"""Incoming webhook events of one workspace, and the secrets that they are signed with."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import inbound_events, webhook_secrets
from app.database.rows import columns_of
from app.models.trigger import InboundEvent, WebhookSecret

_EVENT = columns_of(inbound_events, InboundEvent)
_SECRET = columns_of(webhook_secrets, WebhookSecret)


class InboundStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def page(
        self, task_id: UUID, *, limit: int, after: UUID | None = None, outcome: str | None = None
    ) -> list[InboundEvent]:
        """Up to `limit` events of a task, the newest first, older than `after`."""
        statement = select(*_EVENT).where(
            inbound_events.c.workspace_id == self._workspace_id, inbound_events.c.task_id == task_id
        )
        if after is not None:
            statement = statement.where(inbound_events.c.id < after)
        if outcome is not None:
            statement = statement.where(inbound_events.c.outcome == outcome)
        statement = statement.order_by(inbound_events.c.id.desc()).limit(limit)
        return [InboundEvent(*row) for row in await self._connection.execute(statement)]

    async def get(self, task_id: UUID, event_id: UUID) -> InboundEvent | None:
        """The event, or None when the task has none with that id."""
        statement = select(*_EVENT).where(
            inbound_events.c.workspace_id == self._workspace_id,
            inbound_events.c.task_id == task_id,
            inbound_events.c.id == event_id,
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return InboundEvent(*found) if found else None

    async def known(self, task_id: UUID, dedup_key: str) -> bool:
        """Whether an event came under this key."""
        statement = select(inbound_events.c.id).where(
            inbound_events.c.workspace_id == self._workspace_id,
            inbound_events.c.task_id == task_id,
            inbound_events.c.dedup_key == dedup_key,
        )
        return (await self._connection.execute(statement)).first() is not None

    async def add(self, values: dict[str, Any]) -> InboundEvent:
        """Insert an event and return it as stored."""
        statement = insert(inbound_events).values(workspace_id=self._workspace_id, **values).returning(*_EVENT)
        return InboundEvent(*(await self._connection.execute(statement)).one())

    async def secrets(self, task_id: UUID) -> list[WebhookSecret]:
        """The secrets of a task that are valid now, the newest first."""
        live = or_(webhook_secrets.c.expires_at.is_(None), webhook_secrets.c.expires_at > func.app_now())
        statement = select(*_SECRET).where(self._of(task_id), live).order_by(webhook_secrets.c.id.desc())
        return [WebhookSecret(*row) for row in await self._connection.execute(statement)]

    async def add_secret(self, values: dict[str, Any]) -> None:
        """Store a sealed secret."""
        await self._connection.execute(insert(webhook_secrets).values(workspace_id=self._workspace_id, **values))

    async def end_secrets(self, task_id: UUID, keep: UUID | None, hours: int) -> datetime | None:
        """Let the secret `keep` end in so many hours and delete the others; when it ends."""
        await self._connection.execute(
            delete(webhook_secrets).where(self._of(task_id), webhook_secrets.c.id != keep if keep else text("true"))
        )
        if keep is None:
            return None
        ends = func.least(
            func.coalesce(webhook_secrets.c.expires_at, text("'infinity'::timestamptz")),
            func.app_now() + text(f"interval '{int(hours)} hours'"),
        )
        statement = (
            update(webhook_secrets)
            .where(self._of(task_id), webhook_secrets.c.id == keep)
            .values(expires_at=ends)
            .returning(webhook_secrets.c.expires_at)
        )
        return (await self._connection.execute(statement)).scalar_one_or_none()

    async def now(self) -> datetime:
        """The ledger's present time."""
        return (await self._connection.execute(select(func.app_now()))).scalar_one()

    def _of(self, task_id: UUID) -> Any:
        return and_(webhook_secrets.c.workspace_id == self._workspace_id, webhook_secrets.c.task_id == task_id)
