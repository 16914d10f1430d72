"""Occurrences of one workspace: every due time and what became of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import occurrences, runs
from app.database.rows import columns_of
from app.models.ids import new_id
from app.models.run import TERMINAL
from app.models.schedule import Occurrence, Outcome

COLUMNS = columns_of(occurrences, Occurrence)
CHANNEL = "sixlane_schedules"
"""Where schedulers hear of changed timetables, by NOTIFY."""

_ANNOUNCE = text(f"SELECT pg_notify('{CHANNEL}', '')")
RAN = ("run", "waiting")


class OccurrenceStore:
    """Queries over the occurrences of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def announce(self) -> None:
        """Tell the schedulers, once the unit is committed, that the next due time may be another now."""
        await self._connection.execute(_ANNOUNCE)

    async def now(self) -> datetime:
        """The moment, by the ledger's clock, that due times are compared with."""
        return (await self._connection.execute(select(func.app_now()))).scalar_one()

    async def page(
        self, task_id: UUID, *, limit: int, after: UUID | None = None, outcome: Outcome | None = None
    ) -> list[Occurrence]:
        """Up to `limit` occurrences of the task, the latest due time first, before that of the row `after`."""
        statement = select(*COLUMNS).where(self._of(task_id))
        if outcome is not None:
            statement = statement.where(occurrences.c.outcome == outcome)
        if after is not None:
            before = select(occurrences.c.due_at).where(self._of(task_id), occurrences.c.id == after)
            statement = statement.where(occurrences.c.due_at < before.scalar_subquery())
        statement = statement.order_by(occurrences.c.due_at.desc()).limit(limit)
        return [Occurrence(*row) for row in await self._connection.execute(statement)]

    async def between(self, task_id: UUID, since: datetime, until: datetime) -> dict[datetime, Outcome]:
        """What became of the task's due times from `since` to `until`, both included."""
        statement = select(occurrences.c.due_at, occurrences.c.outcome).where(
            self._of(task_id), occurrences.c.due_at.between(since, until)
        )
        return {row.due_at: row.outcome for row in await self._connection.execute(statement)}

    async def latest(self, task_id: UUID) -> datetime | None:
        """The task's latest due time that is recorded."""
        statement = select(func.max(occurrences.c.due_at)).where(self._of(task_id))
        return (await self._connection.execute(statement)).scalar_one()

    async def make_up(self, task_id: UUID, wanted: Sequence[tuple[UUID, UUID, datetime]]) -> set[UUID]:
        """Record backfilled due times (id, run id, due time); the runs of those that had not run yet."""
        if not wanted:
            return set()
        rows = [
            {
                "workspace_id": self._workspace_id,
                "id": row_id,
                "task_id": task_id,
                "due_at": due_at,
                "fire_at": due_at,
                "kind": "backfill",
                "outcome": "run",
                "reason": "Made up for by a backfill.",
                "run_id": run_id,
            }
            for row_id, run_id, due_at in wanted
        ]
        statement = upsert(occurrences).values(rows)
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=["workspace_id", "task_id", "due_at"],
            set_={
                "kind": new.kind,
                "outcome": new.outcome,
                "reason": func.concat("Made up for by a backfill; it was ", occurrences.c.outcome, "."),
                "run_id": new.run_id,
                "recorded_at": func.app_now(),
            },
            where=occurrences.c.outcome.not_in(RAN),
        ).returning(occurrences.c.run_id)
        return {row.run_id for row in await self._connection.execute(statement)}

    async def take_waiting(self, task_id: UUID) -> Occurrence | None:
        """The task's occurrence that waits for the run before it, locked until the unit ends."""
        statement = select(*COLUMNS).where(self._of(task_id), occurrences.c.outcome == "waiting").with_for_update()
        found = (await self._connection.execute(statement)).one_or_none()
        return Occurrence(*found) if found else None

    async def settle(
        self, occurrence_id: UUID, outcome: Outcome, *, reason: str | None, run_id: UUID | None = None
    ) -> None:
        """Say what became of an occurrence that waited."""
        statement = (
            update(occurrences)
            .where(occurrences.c.workspace_id == self._workspace_id, occurrences.c.id == occurrence_id)
            .values(outcome=outcome, reason=reason, run_id=run_id)
        )
        await self._connection.execute(statement)

    async def has_active_run(self, task_id: UUID) -> bool:
        """Whether one of the task's latest runs has not ended."""
        statement = select(runs.c.status).where(runs.c.workspace_id == self._workspace_id, runs.c.task_id == task_id)
        latest = await self._connection.execute(statement.order_by(runs.c.id.desc()).limit(5))
        return any(row.status not in TERMINAL for row in latest)

    def _of(self, task_id: UUID) -> Any:
        return and_(occurrences.c.workspace_id == self._workspace_id, occurrences.c.task_id == task_id)

    async def note_chained(
        self, task_id: UUID, at: datetime, *, outcome: Outcome, reason: str, run_id: UUID | None
    ) -> None:
        """Record that the task before this one ended at `at`, and what became of this one then."""
        values = {"task_id": task_id, "due_at": at, "fire_at": at, "outcome": outcome, "reason": reason}
        statement = upsert(occurrences).values(
            workspace_id=self._workspace_id, id=new_id(), kind="chain", run_id=run_id, **values
        )
        await self._connection.execute(statement.on_conflict_do_nothing())
