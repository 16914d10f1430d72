"""Deliveries that are due over all workspaces: taken by one process each, under a lease, and written back."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import deliveries
from app.database.rows import columns_of
from app.models.delivery import Delivery, Outcome

COLUMNS = columns_of(deliveries, Delivery)
_NAMES = ", ".join(f"d.{column.name}" for column in COLUMNS)

_CLAIM = text(
    f"""
WITH heads AS (
    SELECT workspace_id, id, due_at, target->>'place' AS place FROM deliveries
     WHERE status = 'pending' AND due_at <= app_now() AND NOT (target->>'place' = ANY(:full))
     ORDER BY due_at LIMIT 200),
ranked AS (
    SELECT workspace_id, id, row_number() OVER (PARTITION BY place ORDER BY due_at) AS number FROM heads),
picked AS (
    SELECT d.workspace_id, d.id FROM deliveries d JOIN ranked r ON r.workspace_id = d.workspace_id AND r.id = d.id
     WHERE r.number <= :per_place AND d.status = 'pending' AND d.due_at <= app_now()
     ORDER BY d.due_at LIMIT :room FOR UPDATE OF d SKIP LOCKED)
UPDATE deliveries d
   SET status = 'sending', fence = fence + 1, attempts = attempts + 1, status_reason = NULL, status_detail = NULL,
       lease_until = app_now() + make_interval(secs => :lease)
  FROM picked WHERE d.workspace_id = picked.workspace_id AND d.id = picked.id
RETURNING {_NAMES}
"""
).columns(*COLUMNS)
_ABANDONED = text(
    f"""
SELECT {_NAMES} FROM deliveries d
 WHERE d.status = 'sending' AND d.lease_until < app_now()
 ORDER BY d.due_at LIMIT :batch FOR UPDATE SKIP LOCKED
"""
).columns(*COLUMNS)
_WINDOWS = text(
    f"""
SELECT DISTINCT ON (d.workspace_id, d.user_id, d.channel, d.target->>'to') {_NAMES} FROM deliveries d
 WHERE d.status = 'held' AND d.due_at <= app_now() LIMIT :batch
"""
).columns(*COLUMNS)
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
_FORGET = text(
    """
DELETE FROM deliveries WHERE ctid IN (
    SELECT ctid FROM deliveries
     WHERE created_at < app_now() - make_interval(days => :days) AND ended_at IS NOT NULL LIMIT :batch)
"""
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a delivery is after an attempt; `wait` is in seconds and counts for `pending` only."""

    status: str
    reason: str | None = None
    detail: str | None = None
    wait: float = 0.0


class OutboxStore:
    """Queries over all workspaces."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self, *, room: int, per_place: int, full: list[str], lease: float) -> list[Delivery]:
        """Take up to `room` due deliveries for one attempt each, at most `per_place` of a place and none of `full`."""
        values = {"room": room, "per_place": per_place, "full": full, "lease": lease}
        return [Delivery(*row) for row in await self._connection.execute(_CLAIM, values)]

    async def abandoned(self, batch: int) -> list[Delivery]:
        """Deliveries whose sender has not been heard of until the end of its lease, locked."""
        return [Delivery(*row) for row in await self._connection.execute(_ABANDONED, {"batch": batch})]

    async def closed_windows(self, batch: int) -> list[Delivery]:
        """One held delivery of each channel and target whose window is over."""
        return [Delivery(*row) for row in await self._connection.execute(_WINDOWS, {"batch": batch})]

    async def settle(self, delivery: Delivery, verdict: Verdict, *, counted: bool = True) -> bool:
        """Write what the attempt came to; False when another process has taken the delivery since."""
        values: dict[str, Any] = {
            "workspace_id": delivery.workspace_id,
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
            "workspace_id": delivery.workspace_id,
            "id": delivery.id,
            "number": delivery.attempts,
            "outcome": outcome.outcome,
            "code": outcome.code,
            "detail": outcome.detail,
            "snippet": outcome.snippet,
            "seconds": seconds,
        }
        await self._connection.execute(_ATTEMPT, values)

    async def forget(self, days: int, batch: int) -> int:
        """Remove ended deliveries older than `days` with their attempts, one batch; how many rows went."""
        return (await self._connection.execute(_FORGET, {"days": days, "batch": batch})).rowcount
