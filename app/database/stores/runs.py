"""Runs of one workspace. `transition` is the only place where a status changes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import run_results, runs
from app.database.rows import columns_of
from app.database.usage import usage_below, usage_in, used
from app.models.run import TERMINAL, TRANSITIONS, Run, RunResult, RunStatus

COLUMNS = columns_of(runs, Run)
RESULT_COLUMNS = columns_of(run_results, RunResult)
CLAIM_LOCK = 7_301_001
"""Advisory lock that orders claims and births under a lease, so that counted caps hold."""
ACTIVE = ("queued", "running", "waiting")
PARKED = text("'infinity'::timestamptz")


def after(seconds: float) -> ColumnElement[Any]:
    """The moment that many seconds from now, by the database's clock."""
    return func.app_now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


class RunStore:
    """Queries over the runs of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def add(self, values: dict[str, Any]) -> Run:
        """Insert a run and return it as stored."""
        statement = insert(runs).values(workspace_id=self._workspace_id, **values).returning(*COLUMNS)
        return Run(*(await self._connection.execute(statement)).one())

    async def add_parked(self, values: dict[str, Any]) -> Run:
        """Insert a run that stands behind another one of its conversation and cannot be claimed yet."""
        return await self.add({**values, "available_at": PARKED})

    async def add_running(self, values: dict[str, Any], owner: str, lease_seconds: float) -> Run:
        """Insert a run that its own process executes from the start: lease, fence 1, first attempt."""
        return await self.add(
            {
                **values,
                "status": "running",
                "holds_conversation": True,
                "lease_owner": owner,
                "lease_until": after(lease_seconds),
                "fence": 1,
                "attempt": 1,
                "started_at": func.app_now(),
            }
        )

    async def get(self, run_id: UUID) -> Run | None:
        """The run, or None when this workspace has none with that id."""
        found = (await self._connection.execute(select(*COLUMNS).where(self._is(run_id)))).one_or_none()
        return Run(*found) if found else None

    async def lock(self, run_id: UUID) -> Run | None:
        """The run, locked against other writers until the unit ends."""
        statement = select(*COLUMNS).where(self._is(run_id)).with_for_update()
        found = (await self._connection.execute(statement)).one_or_none()
        return Run(*found) if found else None

    async def transition(
        self,
        run_id: UUID,
        from_: tuple[RunStatus, ...],
        to: RunStatus,
        *,
        fence: int | None = None,
        available_in: float | None = None,
        **values: Any,
    ) -> Run | None:
        """Move a run from one of `from_` to `to` and set further columns; None when it is not there (any more).

        With `fence`, only while that lease holder still is the last one. A run that leaves `running` gives its lease
        back; one that ends gets its end time and lets its conversation go; `available_in` is in seconds.
        """
        assert all(to in TRANSITIONS[status] for status in from_), f"no move from {from_} to {to}"
        condition = and_(self._is(run_id), runs.c.status.in_(from_))
        if fence is not None:
            condition = and_(condition, runs.c.fence == fence)
        if to != "running":
            values |= {"lease_owner": None, "lease_until": None}
        if to in TERMINAL:
            values |= {"completed_at": func.app_now(), "holds_conversation": False, "waiting_on": None}
        if available_in is not None:
            values["available_at"] = after(available_in)
        statement = update(runs).where(condition).values(status=to, **values).returning(*COLUMNS)
        found = (await self._connection.execute(statement)).one_or_none()
        return Run(*found) if found else None

    async def checkpoint(self, run_id: UUID, fence: int, **values: Any) -> Run | None:
        """Write to a running run under its fence; None when the lease is lost."""
        condition = and_(self._is(run_id), runs.c.status == "running", runs.c.fence == fence)
        statement = update(runs).where(condition).values(**values).returning(*COLUMNS)
        found = (await self._connection.execute(statement)).one_or_none()
        return Run(*found) if found else None

    async def wait_for(self, run_id: UUID, waiting_on: list[dict[str, Any]]) -> None:
        """Say what a waiting run waits for."""
        await self._connection.execute(update(runs).where(self._is(run_id)).values(waiting_on=waiting_on))

    async def reached(self, run_id: UUID, last_seq: int) -> None:
        """Note the number of the run's last event."""
        await self._connection.execute(update(runs).where(self._is(run_id)).values(last_seq=last_seq))

    async def hold(self, run_id: UUID, fence: int) -> Run | None:
        """The run, locked until the unit ends, if `fence` still holds its lease; else None."""
        condition = and_(self._is(run_id), runs.c.status == "running", runs.c.fence == fence)
        statement = select(*COLUMNS).where(condition).with_for_update(key_share=True)
        found = (await self._connection.execute(statement)).one_or_none()
        return Run(*found) if found else None

    async def ask_cancel(self, run_id: UUID, reason: str) -> None:
        """Note that a running run was asked to stop, and why; the first time counts."""
        statement = (
            update(runs)
            .where(self._is(run_id), runs.c.status.in_(ACTIVE), runs.c.cancel_requested_at.is_(None))
            .values(cancel_requested_at=func.app_now(), status_reason=reason)
        )
        await self._connection.execute(statement)

    async def active_of(self, conversation_id: UUID) -> list[Run]:
        """Runs of the conversation that have not ended, in their order: the first is its head.

        That is the holder, else the one that may be claimed, and then those that are parked behind it.
        """
        statement = (
            select(*COLUMNS)
            .where(
                runs.c.workspace_id == self._workspace_id,
                runs.c.conversation_id == conversation_id,
                runs.c.status.in_(ACTIVE),
            )
            .order_by(
                runs.c.holds_conversation.desc(), runs.c.available_at == PARKED, runs.c.priority.desc(), runs.c.id
            )
        )
        return [Run(*row) for row in await self._connection.execute(statement)]

    async def children_of(self, run_id: UUID) -> list[Run]:
        """Runs that this run began and that have not ended, the oldest first."""
        statement = (
            select(*COLUMNS)
            .where(
                runs.c.workspace_id == self._workspace_id,
                runs.c.parent_run_id == run_id,
                runs.c.trigger == "sub_run",
                runs.c.status.in_(ACTIVE),
            )
            .order_by(runs.c.id)
        )
        return [Run(*row) for row in await self._connection.execute(statement)]

    async def usage_below(self, run_ids: list[UUID], *, with_own: bool = True) -> dict[UUID, dict[str, Any]]:
        """What each run used together with all runs below it (those it began, and those that they began).

        Without its own usage where that is not wanted; then runs that began none are left out.
        """
        return await usage_below(self._connection, self._workspace_id, runs.c.id, run_ids, with_own=with_own)

    async def seconds_of(self, run_ids: list[UUID]) -> dict[UUID, float]:
        """How long each run has executed, in seconds."""
        statement = select(runs.c.id, runs.c.usage["seconds"].as_float()).where(
            runs.c.workspace_id == self._workspace_id, runs.c.id.in_(run_ids)
        )
        return {row[0]: row[1] or 0.0 for row in await self._connection.execute(statement)}

    async def conversations_begun_by(self, conversation_id: UUID) -> list[UUID]:
        """Conversations of the runs that runs of this conversation began."""
        parent = runs.alias()
        statement = (
            select(runs.c.conversation_id)
            .join(parent, (parent.c.workspace_id == runs.c.workspace_id) & (parent.c.id == runs.c.parent_run_id))
            .where(
                runs.c.workspace_id == self._workspace_id,
                runs.c.trigger == "sub_run",
                parent.c.conversation_id == conversation_id,
            )
            .distinct()
        )
        return [row.conversation_id for row in await self._connection.execute(statement)]

    async def count_running(self, lane: str, user_id: UUID, agent: str) -> tuple[int, int, int]:
        """How many runs of the lane are running: of the user, of the agent, of the workspace.

        Takes the claim lock first: the counts hold until the unit ends.
        """
        await self._connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CLAIM_LOCK})
        statement = select(
            func.count().filter(runs.c.user_id == user_id),
            func.count().filter(runs.c.agent == agent),
            func.count(),
        ).where(runs.c.status == "running", runs.c.lane == lane, runs.c.workspace_id == self._workspace_id)
        row = (await self._connection.execute(statement)).one()
        return int(row[0]), int(row[1]), int(row[2])

    async def page(
        self,
        *,
        limit: int,
        after: UUID | None = None,
        status: str | None = None,
        conversation_id: UUID | None = None,
        task_id: UUID | None = None,
        user_id: UUID | None = None,
        parent_run_id: UUID | None = None,
    ) -> list[Run]:
        """Up to `limit` runs, the newest first, older than `after`."""
        statement = select(*COLUMNS).where(runs.c.workspace_id == self._workspace_id)
        wanted = {
            runs.c.status: status,
            runs.c.conversation_id: conversation_id,
            runs.c.task_id: task_id,
            runs.c.user_id: user_id,
            runs.c.parent_run_id: parent_run_id,
        }
        for column, value in wanted.items():
            if value is not None:
                statement = statement.where(column == value)
        if after is not None:
            statement = statement.where(runs.c.id < after)
        statement = statement.order_by(runs.c.id.desc()).limit(limit)
        return [Run(*row) for row in await self._connection.execute(statement)]

    async def result(self, run_id: UUID) -> RunResult | None:
        """What the run came to, once it has an answer or an error."""
        statement = select(*RESULT_COLUMNS).where(
            run_results.c.workspace_id == self._workspace_id, run_results.c.run_id == run_id
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return RunResult(*found) if found else None

    async def results(self, run_ids: list[UUID]) -> dict[UUID, RunResult]:
        """Results of several runs by run id."""
        statement = select(*RESULT_COLUMNS).where(
            run_results.c.workspace_id == self._workspace_id, run_results.c.run_id.in_(run_ids)
        )
        found = [RunResult(*row) for row in await self._connection.execute(statement)]
        return {result.run_id: result for result in found}

    async def record_result(self, run_id: UUID, **values: Any) -> None:
        """Write what the run came to; a later word replaces an earlier one."""
        statement = upsert(run_results).values(workspace_id=self._workspace_id, run_id=run_id, **values)
        statement = statement.on_conflict_do_update(
            index_elements=["workspace_id", "run_id"], set_={**values, "created_at": func.app_now()}
        )
        await self._connection.execute(statement)

    async def usage_by_model(
        self, *, user_id: UUID | None, since: datetime | None, until: datetime | None
    ) -> list[dict[str, Any]]:
        """What runs that were created in the time used, by model; `cost_usd` is null where a price is not known."""
        statement = (
            select(runs.c.model, func.count().label("runs"), *used())
            .where(runs.c.workspace_id == self._workspace_id)
            .group_by(runs.c.model)
            .order_by(runs.c.model)
        )
        if user_id is not None:
            statement = statement.where(runs.c.user_id == user_id)
        if since is not None:
            statement = statement.where(runs.c.created_at >= since)
        if until is not None:
            statement = statement.where(runs.c.created_at < until)
        rows = (await self._connection.execute(statement)).mappings().all()
        return [{"model": row["model"], "runs": row["runs"], "usage": usage_in(row)} for row in rows]

    def _is(self, run_id: UUID) -> Any:
        return and_(runs.c.workspace_id == self._workspace_id, runs.c.id == run_id)
