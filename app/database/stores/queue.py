"""The queue: claims, leases and heartbeats over all workspaces. Every process that runs agents stands here."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, column, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Float, Integer, Text, Uuid

from app.database.direct import Direct
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

_CLAIMABLE = """
    r.status = 'queued' AND r.available_at <> 'infinity' AND r.lane = {owner}.lane
       AND r.workspace_id = {owner}.workspace_id AND r.user_id = {owner}.user_id
       AND r.available_at <= (SELECT now FROM clock)
       AND coalesce((SELECT h.id FROM runs h WHERE h.workspace_id = r.workspace_id
                        AND h.conversation_id = r.conversation_id AND h.holds_conversation), r.id) = r.id
       AND (m.per_agent = 0 OR m.per_agent > coalesce((SELECT b.n FROM by_agent b
             WHERE b.lane = r.lane AND b.workspace_id = r.workspace_id AND b.agent = r.agent), 0))
       AND (m.per_workspace = 0 OR m.per_workspace > coalesce((SELECT b.n FROM by_workspace b
             WHERE b.lane = r.lane AND b.workspace_id = r.workspace_id), 0))
"""
"""Runs `r` of an owner that no cap, no other run of their conversation and no date holds back; `m` is their lane."""

_CLAIM = Direct(
    text(
        f"""
WITH RECURSIVE clock AS MATERIALIZED (SELECT app_now() AS now),
room AS (
    SELECT * FROM unnest(:lanes, :slots, :per_user, :per_agent, :per_workspace)
      WITH ORDINALITY AS t(lane, slots, per_user, per_agent, per_workspace, place)
),
owners AS (
    (SELECT lane, workspace_id, user_id, priority, id FROM runs
      WHERE status = 'queued' AND available_at <> 'infinity'
      ORDER BY lane, workspace_id, user_id, priority DESC, id LIMIT 1)
    UNION ALL
    SELECT n.* FROM owners o CROSS JOIN LATERAL (
        SELECT r.lane, r.workspace_id, r.user_id, r.priority, r.id FROM runs r
         WHERE r.status = 'queued' AND r.available_at <> 'infinity'
           AND (r.lane, r.workspace_id, r.user_id) > (o.lane, o.workspace_id, o.user_id)
         ORDER BY r.lane, r.workspace_id, r.user_id, r.priority DESC, r.id LIMIT 1) n
),
busy AS MATERIALIZED (
    SELECT lane, workspace_id, user_id, agent, count(*) AS n FROM runs WHERE status = 'running'
     GROUP BY lane, workspace_id, user_id, agent
),
by_agent AS MATERIALIZED (SELECT lane, workspace_id, agent, sum(n) AS n FROM busy GROUP BY 1, 2, 3),
by_workspace AS MATERIALIZED (SELECT lane, workspace_id, sum(n) AS n FROM busy GROUP BY 1, 2),
people AS MATERIALIZED (
    SELECT lane, workspace_id, user_id, max(priority) AS priority, min(first) AS first, sum(n) AS n FROM (
        SELECT lane, workspace_id, user_id, priority, id::text AS first, 0 AS n FROM owners
        UNION ALL
        SELECT lane, workspace_id, user_id, NULL, NULL, n FROM busy) seen
     GROUP BY lane, workspace_id, user_id HAVING min(first) IS NOT NULL
),
expired AS (
    SELECT r.workspace_id, r.id, r.lane, m.place, m.slots FROM runs r JOIN room m USING (lane)
     WHERE r.status = 'running' AND r.lease_until < (SELECT now FROM clock)
     ORDER BY r.lease_until LIMIT :depth
),
turn AS (
    SELECT p.*, m.place, m.slots, m.per_user, m.per_agent, m.per_workspace
      FROM room m CROSS JOIN LATERAL (
        SELECT q.* FROM (
            SELECT * FROM people p WHERE p.lane = m.lane AND (m.per_user = 0 OR p.n < m.per_user)
             ORDER BY p.priority DESC, p.n, p.first) q
         CROSS JOIN LATERAL (
            SELECT 1 FROM runs r WHERE {_CLAIMABLE.format(owner="q")} LIMIT 1) h
         LIMIT :depth) p
     WHERE m.slots > 0
),
heads AS (
    SELECT h.*, o.place, o.slots, o.per_agent, o.per_workspace,
           o.n + row_number() OVER (PARTITION BY h.lane, h.workspace_id, h.user_id
                                    ORDER BY h.priority DESC, h.id) AS nth
      FROM turn o CROSS JOIN LATERAL (
        SELECT r.workspace_id, r.id, r.lane, r.user_id, r.agent, r.priority FROM runs r, room m
         WHERE m.lane = o.lane AND {_CLAIMABLE.format(owner="o")}
         ORDER BY r.priority DESC, r.id
         LIMIT least(:depth, o.slots, CASE WHEN o.per_user > 0 THEN o.per_user - o.n ELSE :depth END)) h
),
ranked AS (
    SELECT h.*,
           CASE WHEN per_agent > 0 THEN
               row_number() OVER (PARTITION BY h.lane, h.workspace_id, h.agent ORDER BY h.priority DESC, h.nth, h.id)
               + coalesce((SELECT b.n FROM by_agent b WHERE b.lane = h.lane AND b.workspace_id = h.workspace_id
                              AND b.agent = h.agent), 0) END AS of_agent,
           CASE WHEN per_workspace > 0 THEN
               row_number() OVER (PARTITION BY h.lane, h.workspace_id ORDER BY h.priority DESC, h.nth, h.id)
               + coalesce((SELECT b.n FROM by_workspace b WHERE b.lane = h.lane AND b.workspace_id = h.workspace_id),
                          0) END AS of_workspace
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
       lease_until = clock.now + make_interval(secs => :lease), fence = r.fence + 1, attempt = r.attempt + 1,
       started_at = coalesce(r.started_at, clock.now), holds_conversation = true, waiting_on = NULL
  FROM picked p, clock
 WHERE r.workspace_id = p.workspace_id AND r.id = p.id
   AND (r.status = 'queued' OR (r.status = 'running' AND r.lease_until < clock.now))
RETURNING {_RETURNING}
"""
    ).bindparams(
        bindparam("lanes", type_=ARRAY(Text)),
        bindparam("slots", type_=ARRAY(Integer)),
        bindparam("per_user", type_=ARRAY(Integer)),
        bindparam("per_agent", type_=ARRAY(Integer)),
        bindparam("per_workspace", type_=ARRAY(Integer)),
        bindparam("depth", type_=Integer),
        bindparam("most", type_=Integer),
        bindparam("owner", type_=Text),
        bindparam("lease", type_=Float),
    ),
    *columns_of(runs, Run),
)

_BEGIN_CLAIM = Direct(
    text(f"SELECT pg_advisory_xact_lock({CLAIM_LOCK}), set_config('plan_cache_mode', 'force_generic_plan', true)"),
    column("locked"),
    column("mode"),
)
"""Making a plan for a claim costs as much as carrying it out, and every plan of it is the same."""

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

_CALLS = text(
    """
SELECT r.id, r.cancel_requested_at IS NOT NULL FROM runs r
 WHERE r.status = 'running' AND r.lease_owner = :owner
   AND (r.cancel_requested_at IS NOT NULL OR EXISTS (
       SELECT 1 FROM steering s WHERE s.workspace_id = r.workspace_id AND s.run_id = r.id
          AND s.delivered_at IS NULL AND s.next_run_id IS NULL))
"""
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
        await _BEGIN_CLAIM.row(self._connection, {})
        rows = await _CLAIM.rows(
            self._connection,
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

    async def calls(self, owner: str) -> dict[UUID, bool]:
        """Running runs of `owner` that were asked to stop (true), or that there are messages for (false)."""
        rows = await self._connection.execute(_CALLS, {"owner": owner})
        return {row[0]: row[1] for row in rows}
