"""Deliveries that are due over all workspaces: taken by one process each, under a lease, and written back."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import deliveries
from app.database.rows import columns_of
from app.models.delivery import Delivery

COLUMNS = columns_of(deliveries, Delivery)
_NAMES = ", ".join(f"d.{column.name}" for column in COLUMNS)

_HAS_WORK = text(
    """
SELECT EXISTS (SELECT FROM deliveries
                WHERE status IN ('pending', 'sending', 'held') AND due_at <= app_now()
                  AND (status <> 'sending' OR lease_until < app_now()))
"""
)
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
 ORDER BY d.due_at LIMIT :batch
"""
).columns(*COLUMNS)
_WINDOWS = text(
    f"""
SELECT DISTINCT ON (d.workspace_id, d.user_id, d.channel, d.target->>'to') {_NAMES} FROM deliveries d
 WHERE d.status = 'held' AND d.due_at <= app_now() LIMIT :batch
"""
).columns(*COLUMNS)
_FORGET = text(
    """
DELETE FROM deliveries WHERE ctid IN (
    SELECT ctid FROM deliveries
     WHERE created_at < app_now() - make_interval(days => :days) AND ended_at IS NOT NULL LIMIT :batch)
"""
)


class OutboxStore:
    """Queries over all workspaces."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def has_work(self) -> bool:
        """Whether anything is due, abandoned, or at the end of its window."""
        return bool((await self._connection.execute(_HAS_WORK)).scalar_one())

    async def claim(self, *, room: int, per_place: int, full: list[str], lease: float) -> list[Delivery]:
        """Take up to `room` due deliveries for one attempt each, at most `per_place` of a place and none of `full`."""
        values = {"room": room, "per_place": per_place, "full": full, "lease": lease}
        return [Delivery(*row) for row in await self._connection.execute(_CLAIM, values)]

    async def abandoned(self, batch: int) -> list[Delivery]:
        """Deliveries whose sender has not been heard of until the end of its lease."""
        return [Delivery(*row) for row in await self._connection.execute(_ABANDONED, {"batch": batch})]

    async def closed_windows(self, batch: int) -> list[Delivery]:
        """One held delivery of each channel and target whose window is over."""
        return [Delivery(*row) for row in await self._connection.execute(_WINDOWS, {"batch": batch})]

    async def forget(self, days: int, batch: int) -> int:
        """Remove ended deliveries older than `days` with their attempts, one batch; how many rows went."""
        return (await self._connection.execute(_FORGET, {"days": days, "batch": batch})).rowcount
