"""Witnesses inside the ledger: triggers that write down every claim, move and tool call, with the time of day."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

_WITNESSES = """
CREATE TABLE seen_runs (n bigserial PRIMARY KEY, at double precision NOT NULL, run_id uuid NOT NULL,
    status text NOT NULL, fence int NOT NULL, attempt int NOT NULL, owner text);
CREATE TABLE seen_calls (n bigserial PRIMARY KEY, at double precision NOT NULL, run_id uuid NOT NULL,
    tool_call_id text NOT NULL, status text NOT NULL, fence int NOT NULL);
CREATE FUNCTION see_run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen_runs (at, run_id, status, fence, attempt, owner)
    VALUES (extract(epoch FROM clock_timestamp()), NEW.id, NEW.status, NEW.fence, NEW.attempt, NEW.lease_owner);
    RETURN NULL; END $$;
CREATE FUNCTION see_call() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen_calls (at, run_id, tool_call_id, status, fence)
    VALUES (extract(epoch FROM clock_timestamp()), NEW.run_id, NEW.tool_call_id, NEW.status, NEW.fence);
    RETURN NULL; END $$;
CREATE TRIGGER see_born AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION see_run();
CREATE TRIGGER see_moved AFTER UPDATE ON runs FOR EACH ROW
    WHEN (OLD.status <> NEW.status OR OLD.fence <> NEW.fence) EXECUTE FUNCTION see_run();
CREATE TRIGGER see_call AFTER INSERT OR UPDATE ON tool_calls FOR EACH ROW EXECUTE FUNCTION see_call();
"""

_RESPONSES = """
SELECT run_id, array_agg(extract(epoch FROM created_at)::float8 ORDER BY id) AS at FROM entries
 WHERE message->>'kind' = 'response' GROUP BY run_id
"""


@dataclass(frozen=True)
class Move:
    """A run as it was left by one write: claimed (running, a new fence), queued, waiting or ended."""

    at: float
    run_id: UUID
    status: str
    fence: int
    attempt: int
    owner: str | None


@dataclass(frozen=True)
class CallMove:
    """A row of the tool journal as it was left by one write."""

    at: float
    run_id: UUID
    tool_call_id: str
    status: str
    fence: int


class Audit:
    """Reads the ledger and its witnesses over connections of its own. All times are Unix times of this machine."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url.replace("postgresql+asyncpg://", "postgresql://")

    async def install(self) -> None:
        """Set up the witnesses in a migrated database."""
        async with self._connection() as connection:
            await connection.execute(_WITNESSES)

    async def rows(self, statement: str, *values: object) -> list[Any]:
        """What a statement finds."""
        async with self._connection() as connection:
            return await connection.fetch(statement, *values)

    async def connect(self) -> asyncpg.Connection:
        """A connection of the caller's own."""
        return await asyncpg.connect(self._url)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[asyncpg.Connection]:
        # one for each question: the server may have been killed since the last one
        connection = await asyncpg.connect(self._url)
        try:
            yield connection
        finally:
            await connection.close()

    async def holder(self, mark: str) -> tuple[UUID, int, str] | None:
        """Run, fence and holder of the executing run whose prompt ends with this mark."""
        found = await self.rows(
            "SELECT id, fence, lease_owner FROM runs WHERE status = 'running' AND input->>'prompt' LIKE $1",
            f"%MARK: {mark}",
        )
        return (found[0]["id"], found[0]["fence"], found[0]["lease_owner"]) if found else None

    async def held_by(self, process_id: str) -> dict[UUID, int]:
        """Runs (and fences) that a process holds now."""
        rows = await self.rows("SELECT id, fence FROM runs WHERE status = 'running' AND lease_owner = $1", process_id)
        return {row["id"]: row["fence"] for row in rows}

    async def moves(self) -> dict[UUID, list[Move]]:
        """Every run's moves, in order."""
        found: dict[UUID, list[Move]] = {}
        for row in await self.rows("SELECT at, run_id, status, fence, attempt, owner FROM seen_runs ORDER BY n"):
            found.setdefault(row["run_id"], []).append(Move(*row))
        return found

    async def calls(self) -> list[CallMove]:
        """Every write to the tool journal, in order."""
        rows = await self.rows("SELECT at, run_id, tool_call_id, status, fence FROM seen_calls ORDER BY n")
        return [CallMove(*row) for row in rows]

    async def responses(self) -> dict[UUID, list[float]]:
        """When each response of a run was stored, by run, in order."""
        return {row["run_id"]: row["at"] for row in await self.rows(_RESPONSES)}

    async def marks(self) -> dict[str, UUID]:
        """Runs by the mark of their prompt."""
        rows = await self.rows("SELECT id, input->>'prompt' AS prompt FROM runs")
        return {row["prompt"].rsplit("MARK: ", 1)[1]: row["id"] for row in rows}

    async def lost(self) -> list[UUID]:
        """Runs that have neither ended nor wait for an open approval."""
        rows = await self.rows(
            """
            SELECT id FROM runs r WHERE status NOT IN ('completed', 'failed', 'cancelled') AND NOT (status = 'waiting'
               AND EXISTS (SELECT 1 FROM approvals a WHERE a.run_id = r.id AND a.status = 'pending'))
            """
        )
        return [row["id"] for row in rows]
