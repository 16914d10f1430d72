"""Events of runs, several to a row, and the numbering that writers share."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Text, and_, cast, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import run_events, runs
from app.models.frames import EventBatch, Frame, from_ledger
from app.models.run import RunStatus

ROWS_PER_PAGE = 64


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is: what a follower needs besides its events."""

    status: RunStatus
    status_reason: str | None
    status_detail: str | None
    last_seq: int
    attempt: int
    conversation_id: UUID


class EventStore:
    """Queries over the events of runs in one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def add(self, run_id: UUID, batch: EventBatch) -> None:
        """Store a batch; the caller sets the run's `last_seq` in the same unit, or has allocated the numbers.

        Storing it again, longer, replaces it: so a commit with an unknown end can be repeated.
        """
        await self._connection.execute(self._insert(run_id, batch))

    def _insert(self, run_id: UUID, batch: EventBatch) -> Insert:
        statement = insert(run_events).values(
            workspace_id=self._workspace_id,
            run_id=run_id,
            first_seq=batch.first_seq,
            last_seq=batch.last_seq,
            events=cast(literal(batch.rows, Text()), JSONB),
        )
        return statement.on_conflict_do_update(
            index_elements=["workspace_id", "run_id", "first_seq"],
            set_={"last_seq": statement.excluded.last_seq, "events": statement.excluded.events},
            where=statement.excluded.last_seq >= run_events.c.last_seq,
        )

    async def allocate(self, run_id: UUID, count: int) -> int | None:
        """Take the next `count` numbers of a run; returns the first, or None when there is no such run."""
        statement = (
            update(runs).where(self._run(run_id)).values(last_seq=runs.c.last_seq + count).returning(runs.c.last_seq)
        )
        last = (await self._connection.execute(statement)).scalar_one_or_none()
        return None if last is None else last - count + 1

    async def progress(self, run_id: UUID) -> RunProgress | None:
        """How far the run is; None when this workspace has none with that id."""
        statement = select(
            runs.c.status,
            runs.c.status_reason,
            runs.c.status_detail,
            runs.c.last_seq,
            runs.c.attempt,
            runs.c.conversation_id,
        ).where(self._run(run_id))
        found = (await self._connection.execute(statement)).one_or_none()
        return RunProgress(*found) if found else None

    async def after(self, run_id: UUID, conversation_id: UUID, seq: int, *, limit: int | None = None) -> list[Frame]:
        """Stored events with a higher number, in order: at least `limit` if there are as many, or all."""
        frames: list[Frame] = []
        while True:
            statement = (
                select(run_events.c.first_seq, run_events.c.last_seq, run_events.c.events)
                .where(
                    run_events.c.workspace_id == self._workspace_id,
                    run_events.c.run_id == run_id,
                    run_events.c.last_seq > seq,
                )
                .order_by(run_events.c.first_seq)
                .limit(ROWS_PER_PAGE)
            )
            rows = (await self._connection.execute(statement)).all()
            for first, last, stored in rows:
                frames += [
                    from_ledger(event, number, run_id, conversation_id)
                    for number, event in enumerate(stored, first)
                    if number > seq
                ]
                seq = last
            if len(rows) < ROWS_PER_PAGE or (limit is not None and len(frames) >= limit):
                return frames

    async def last(self, run_id: UUID, conversation_id: UUID) -> Frame | None:
        """The newest stored event of a run."""
        statement = (
            select(run_events.c.last_seq, run_events.c.events[-1])
            .where(run_events.c.workspace_id == self._workspace_id, run_events.c.run_id == run_id)
            .order_by(run_events.c.first_seq.desc())
            .limit(1)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return from_ledger(found[1], found[0], run_id, conversation_id) if found else None

    def _run(self, run_id: UUID) -> ColumnElement[bool]:
        return and_(runs.c.workspace_id == self._workspace_id, runs.c.id == run_id)
