"""Notifications of one workspace and every attempt to deliver them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import deliveries, delivery_attempts
from app.database.rows import columns_of
from app.models.delivery import Attempt, Delivery, Outcome, Verdict

COLUMNS = columns_of(deliveries, Delivery)
ATTEMPT_COLUMNS = columns_of(delivery_attempts, Attempt)

_SETTLE = text(
    """
UPDATE deliveries
   SET status = :status, status_reason = :reason, status_detail = :detail, lease_until = NULL,
       due_at = CASE WHEN :status = 'pending' THEN app_now() + make_interval(secs => :wait) ELSE due_at END,
       ended_at = CASE WHEN :status = 'pending' THEN NULL ELSE app_now() END,
       attempts = attempts - :uncounted
 WHERE workspace_id = :workspace_id AND id = :id AND fence = :fence AND status = 'sending'
"""
)
_ATTEMPT = text(
    """
INSERT INTO delivery_attempts (workspace_id, delivery_id, number, outcome, code, detail, snippet, seconds, started_at)
VALUES (:workspace_id, :id, :number, :outcome, :code, :detail, :snippet, :seconds,
        app_now() - make_interval(secs => :seconds))
"""
)


class DeliveryStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def add(self, values: Mapping[str, Any], *, held_seconds: int | None = None) -> Delivery | None:
        """Write a delivery that is due now; None when one with its `dedup_key` is there.

        With `held_seconds` it waits for the end of its target's open window, or opens one that long.
        """
        row = {"workspace_id": self._workspace_id, **values}
        if held_seconds is not None:
            row["due_at"] = func.coalesce(
                self._window_of(values), func.app_now() + func.make_interval(0, 0, 0, 0, 0, 0, held_seconds)
            )
        statement = (
            insert(deliveries)
            .values(row)
            .on_conflict_do_nothing(index_elements=["workspace_id", "dedup_key"])
            .returning(*COLUMNS)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return Delivery(*found) if found else None

    def _window_of(self, values: Mapping[str, Any]) -> Any:
        """When the window closes that is open for the same channel and target."""
        held = deliveries.alias()
        return (
            select(func.min(held.c.due_at))
            .where(
                held.c.workspace_id == self._workspace_id,
                held.c.status == "held",
                held.c.channel == values["channel"],
                held.c.target["to"].astext == values["target"]["to"],
                held.c.user_id == values["user_id"],
                held.c.due_at > func.app_now(),
            )
            .scalar_subquery()
        )

    async def get(self, delivery_id: UUID) -> Delivery | None:
        """The delivery, or None when this workspace has none with that id."""
        statement = select(*COLUMNS).where(
            deliveries.c.workspace_id == self._workspace_id, deliveries.c.id == delivery_id
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return Delivery(*found) if found else None

    async def attempts(self, delivery_id: UUID) -> list[Attempt]:
        """The delivery's tries, the first one first."""
        statement = (
            select(*ATTEMPT_COLUMNS)
            .where(
                delivery_attempts.c.workspace_id == self._workspace_id,
                delivery_attempts.c.delivery_id == delivery_id,
            )
            .order_by(delivery_attempts.c.number)
        )
        return [Attempt(*row) for row in await self._connection.execute(statement)]

    async def page(
        self, *, limit: int, after: UUID | None = None, user_id: UUID | None = None, **equal: str | UUID | None
    ) -> list[Delivery]:
        """Up to `limit` deliveries, the newest first, older than `after`.

        `equal` names columns (status, channel, event, task_id, run_id) and their value; None is no condition.
        """
        statement = select(*COLUMNS).where(deliveries.c.workspace_id == self._workspace_id)
        for name, value in {**equal, "user_id": user_id}.items():
            if value is not None:
                statement = statement.where(deliveries.c[name] == value)
        if after is not None:
            statement = statement.where(deliveries.c.id < after)
        statement = statement.order_by(deliveries.c.id.desc()).limit(limit)
        return [Delivery(*row) for row in await self._connection.execute(statement)]

    async def held_with(self, delivery: Delivery) -> list[Delivery]:
        """All held deliveries of the same channel and target, locked, the oldest first; others wait meanwhile."""
        key = f"{self._workspace_id}:{delivery.user_id}:{delivery.channel}:{delivery.target['to']}"
        await self._connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 7))"), {"key": f"digest:{key}"}
        )
        statement = (
            select(*COLUMNS)
            .where(
                deliveries.c.workspace_id == self._workspace_id,
                deliveries.c.status == "held",
                deliveries.c.channel == delivery.channel,
                deliveries.c.target["to"].astext == delivery.target["to"],
                deliveries.c.user_id == delivery.user_id,
            )
            .order_by(deliveries.c.id)
            .with_for_update()
        )
        return [Delivery(*row) for row in await self._connection.execute(statement)]

    async def release(self, delivery_id: UUID) -> None:
        """Let a held delivery go by itself, now."""
        await self._connection.execute(
            deliveries.update()
            .where(deliveries.c.workspace_id == self._workspace_id, deliveries.c.id == delivery_id)
            .values(status="pending", due_at=func.app_now())
        )

    async def gather(self, delivery_ids: list[UUID], digest_id: UUID) -> None:
        """Say that these went into a digest."""
        await self._connection.execute(
            deliveries.update()
            .where(deliveries.c.workspace_id == self._workspace_id, deliveries.c.id.in_(delivery_ids))
            .values(status="digested", digest_id=digest_id, ended_at=func.app_now())
        )

    async def settle(self, delivery: Delivery, verdict: Verdict, *, counted: bool = True) -> bool:
        """Write what the attempt came to; False when another process has taken the delivery since."""
        values: dict[str, Any] = {
            "workspace_id": self._workspace_id,
            "id": delivery.id,
            "fence": delivery.fence,
            "status": verdict.status,
            "reason": verdict.reason,
            "detail": verdict.detail,
            "wait": verdict.wait,
            "uncounted": 0 if counted else 1,
        }
        return (await self._connection.execute(_SETTLE, values)).rowcount == 1

    async def record(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        """Write the attempt down."""
        values = {
            "workspace_id": self._workspace_id,
            "id": delivery.id,
            "number": delivery.attempts,
            "outcome": outcome.outcome,
            "code": outcome.code,
            "detail": outcome.detail,
            "snippet": outcome.snippet,
            "seconds": seconds,
        }
        await self._connection.execute(_ATTEMPT, values)
