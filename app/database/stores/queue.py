"""The queue: claims, leases and heartbeats over all workspaces. Every process that runs agents stands here."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Integer, Text, Uuid

from app.database.models import runs
from app.database.rows import columns_of
from app.models.run import Run

CLAIM_LOCK = 7_301_001
"""Advisory lock that orders claims, so that counted caps hold."""


@dataclass(frozen=True, slots=True)
class LaneRoom:
    """How much of one lane may be claimed: free slots here, and caps per user, agent and workspace (0 = none)."""

    slots: int
    per_user: int
    per_agent: int
    per_workspace: int


_RETURNING = ", ".join(f"r.{column.name}" for column in columns_of(runs, Run))

_CLAIM = (
    text(
        f"""
WITH RECURSIVE room AS (
    SELECT * FROM unnest(:lanes, :slots, :per_user, :per_agent, :per_workspace)
      WITH ORDINALITY AS t(lane, slots, per_user, per_agent, per_workspace, place)
),
owners AS (
    (SELECT lane, workspace_id, user_id FROM runs
      WHERE status = 'queued' AND available_at <> 'infinity'
      ORDER BY lane, workspace_id, user_id LIMIT 1)
    UNION ALL
    SELECT n.* FROM owners o CROSS JOIN LATERAL (
        SELECT r.lane, r.workspace_id, r.user_id FROM runs r
         WHERE r.status = 'queued' AND r.available_at <> 'infinity'
           AND (r.lane, r.workspace_id, r.user_id) > (o.lane, o.workspace_id, o.user_id)
         ORDER BY r.lane, r.workspace_id, r.user_id LIMIT 1) n
),
busy AS (
    SELECT lane, workspace_id, user_id, agent, count(*) AS n FROM runs WHERE status = 'running'
     GROUP BY lane, workspace_id, user_id, agent
),
by_user AS (SELECT lane, workspace_id, user_id, sum(n) AS n FROM busy GROUP BY 1, 2, 3),
expired AS (
    SELECT r.workspace_id, r.id, r.lane, m.place, m.slots FROM runs r JOIN room m USING (lane)
     WHERE r.status = 'running' AND r.lease_until < app_now()
     ORDER BY r.lease_until LIMIT :depth
),
heads AS (
    SELECT h.*, m.place, m.slots, m.per_user, m.per_agent, m.per_workspace,
           coalesce(u.n, 0) + row_number() OVER (PARTITION BY h.lane, h.workspace_id, h.user_id
                                                 ORDER BY h.priority DESC, h.id) AS nth
      FROM owners o
      JOIN room m USING (lane)
      LEFT JOIN by_user u USING (lane, workspace_id, user_id)
     CROSS JOIN LATERAL (
        SELECT r.workspace_id, r.id, r.lane, r.user_id, r.agent, r.priority FROM runs r
         WHERE r.status = 'queued' AND r.available_at <> 'infinity'
           AND r.lane = o.lane AND r.workspace_id = o.workspace_id AND r.user_id = o.user_id
           AND r.available_at <= app_now()
           AND NOT EXISTS (SELECT 1 FROM runs h WHERE h.workspace_id = r.workspace_id
                              AND h.conversation_id = r.conversation_id AND h.holds_conversation AND h.id <> r.id)
         ORDER BY r.priority DESC, r.id
         LIMIT least(:depth, m.slots, CASE WHEN m.per_user > 0
                                           THEN greatest(m.per_user - coalesce(u.n, 0), 0) ELSE :depth END)) h
     WHERE m.slots > 0
),
ranked AS (
    SELECT h.*,
           row_number() OVER (PARTITION BY h.lane, h.workspace_id, h.agent ORDER BY h.priority DESC, h.nth, h.id)
             + (SELECT coalesce(sum(b.n), 0) FROM busy b
                 WHERE b.lane = h.lane AND b.workspace_id = h.workspace_id AND b.agent = h.agent) AS of_agent,
           row_number() OVER (PARTITION BY h.lane, h.workspace_id ORDER BY h.priority DESC, h.nth, h.id)
             + (SELECT coalesce(sum(b.n), 0) FROM busy b
                 WHERE b.lane = h.lane AND b.workspace_id = h.workspace_id) AS of_workspace
      FROM heads h
),
fair AS (
    SELECT workspace_id, id, lane, place, slots, 1 AS queued, priority, nth FROM ranked
     WHERE (per_agent = 0 OR of_agent <= per_agent) AND (per_workspace = 0 OR of_workspace <= per_workspace)
    UNION ALL
    SELECT workspace_id, id, lane, place, slots, 0, 0, 0 FROM expired
),
picked AS (
    SELECT f.workspace_id, f.id FROM (
        SELECT fair.*, row_number() OVER (PARTITION BY lane ORDER BY queued, priority DESC, nth, id) AS in_lane
          FROM fair) f
     WHERE f.in_lane <= f.slots
     ORDER BY f.queued, f.place, f.priority DESC, f.nth, f.id
     LIMIT :most
)
UPDATE runs r SET status = 'running', lease_owner = :owner,
       lease_until = app_now() + make_interval(secs => :lease), fence = r.fence + 1, attempt = r.attempt + 1,
       started_at = coalesce(r.started_at, app_now()), holds_conversation = true, waiting_on = NULL
  FROM picked p
 WHERE r.workspace_id = p.workspace_id AND r.id = p.id
   AND (r.status = 'queued' OR (r.status = 'running' AND r.lease_until < app_now()))
RETURNING {_RETURNING}
"""
    )
    .bindparams(
        bindparam("lanes", type_=ARRAY(Text)),
        bindparam("slots", type_=ARRAY(Integer)),
        bindparam("per_user", type_=ARRAY(Integer)),
        bindparam("per_agent", type_=ARRAY(Integer)),
        bindparam("per_workspace", type_=ARRAY(Integer)),
    )
    .columns(*columns_of(runs, Run))
)

_DUE = text(
    """
SELECT EXISTS (SELECT 1 FROM runs WHERE status = 'queued' AND available_at <> 'infinity' AND available_at <= app_now())
    OR EXISTS (SELECT 1 FROM runs WHERE status = 'running' AND lease_until < app_now())
"""
)

_HEARTBEAT = text(
    """
UPDATE runs r SET lease_until = app_now() + make_interval(secs => :lease)
  FROM unnest(:ids, :fences) AS mine(id, fence)
 WHERE r.id = mine.id AND r.fence = mine.fence AND r.status = 'running' AND r.lease_owner = :owner
RETURNING r.id, r.cancel_requested_at IS NOT NULL
"""
).bindparams(bindparam("ids", type_=ARRAY(Uuid(as_uuid=True))), bindparam("fences", type_=ARRAY(Integer)))

_CANCELS = text(
    "SELECT id FROM runs WHERE status = 'running' AND lease_owner = :owner AND cancel_requested_at IS NOT NULL"
)


class QueueStore:
    """Claims and leases. A claim is one short transaction of its own."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def has_due(self) -> bool:
        """Whether a claim now could find anything; takes no lock."""
        return bool((await self._connection.execute(_DUE)).scalar_one())

    async def claim(self, owner: str, lease_seconds: float, most: int, rooms: Mapping[str, LaneRoom]) -> list[Run]:
        """Claim up to `most` runs for `owner`: expired leases first, then fairly over the owners of queued runs.

        Within a lane the order is priority, fewest running of the same user, oldest. Lanes come in the mapping's
        order. Claims are serialised by an advisory lock that the commit releases.
        """
        await self._connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CLAIM_LOCK})
        rows = await self._connection.execute(
            _CLAIM,
            {
                "lanes": list(rooms),
                "slots": [room.slots for room in rooms.values()],
                "per_user": [room.per_user for room in rooms.values()],
                "per_agent": [room.per_agent for room in rooms.values()],
                "per_workspace": [room.per_workspace for room in rooms.values()],
                "depth": most,
                "most": most,
                "owner": owner,
                "lease": lease_seconds,
            },
        )
        return [Run(*row) for row in rows]

    async def heartbeat(self, owner: str, lease_seconds: float, held: Mapping[UUID, int]) -> dict[UUID, bool]:
        """Extend the leases of the given runs (id → fence). Returns those still held and whether to cancel each."""
        rows = await self._connection.execute(
            _HEARTBEAT,
            {"ids": list(held), "fences": list(held.values()), "owner": owner, "lease": lease_seconds},
        )
        return {row[0]: row[1] for row in rows}

    async def cancels(self, owner: str) -> list[UUID]:
        """Running runs of `owner` that were asked to stop."""
        return [row[0] for row in await self._connection.execute(_CANCELS, {"owner": owner})]
