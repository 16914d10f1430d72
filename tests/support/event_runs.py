"""Runs to write events for, without an executor: born running, taken over, ended, straight in the ledger."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.database.connection import Database
from app.models.ids import new_id
from app.models.run import Run, RunStatus
from app.services.event_log import EventLog
from app.services.users import local_owner


@dataclass(frozen=True)
class RunLedger:
    """One workspace's runs in a real database."""

    database: Database
    workspace_id: UUID
    user_id: UUID

    @classmethod
    async def of(cls, database: Database) -> "RunLedger":
        """The runs of the keyless owner's workspace."""
        owner = await local_owner(database)
        return cls(database, owner.workspace_id, owner.user_id)

    async def running(self, **values: Any) -> Run:
        """A run at its first attempt, without an event."""
        return await self._born("running", fence=1, attempt=1, **values)

    async def queued(self) -> Run:
        """A run that waits for its first claim."""
        return await self._born("queued", fence=0, attempt=0)

    async def _born(self, status: RunStatus, **values: Any) -> Run:
        async with self.database.begin(self.workspace_id) as unit:
            conversation = await unit.conversations.add(
                {"id": new_id(), "user_id": self.user_id, "pattern": "chatbot", "agent": "assistant"}
            )
            return await unit.runs.add(
                {
                    "id": new_id(),
                    "conversation_id": conversation.id,
                    "user_id": self.user_id,
                    "pattern": "chatbot",
                    "agent": "assistant",
                    "agent_version": "1",
                    "model": "demo",
                    "lane": "interactive",
                    "status": status,
                    "max_attempts": 5,
                    "trigger": "message",
                    "input": {"prompt": "hi"},
                    "created_by": "test",
                    **values,
                }
            )

    async def claimed(self, run: Run) -> Run:
        """The run as the next holder gets it, whatever became of the one before."""
        async with self.database.begin(self.workspace_id) as unit:
            await unit.connection.execute(
                text("UPDATE runs SET status = 'running', fence = fence + 1, attempt = attempt + 1 WHERE id = :id"),
                {"id": run.id},
            )
            found = await unit.runs.get(run.id)
        assert found is not None
        return found

    async def commit(
        self, run: Run, log: EventLog, *last: tuple[str, dict[str, Any]], to: RunStatus | None = None
    ) -> None:
        """Store what the log has, under the fence, as an executor does."""
        batch = log.take(*last)
        values: dict[str, Any] = {"last_seq": batch.last_seq} if batch else {}
        async with self.database.begin(self.workspace_id) as unit:
            if to is not None:
                found = await unit.runs.transition(run.id, ("running",), to, fence=run.fence, **values)
            else:
                found = await unit.runs.checkpoint(run.id, run.fence, checkpoints=run.checkpoints + 1, **values)
            assert found is not None, "the fence did not hold"
            if batch is not None:
                await unit.events.add(run.id, batch)
        log.committed(batch)

    async def end(self, run: Run, log: EventLog, to: RunStatus = "completed") -> None:
        """End the run with its terminal event."""
        await self.commit(run, log, (f"run.{to}", {"status_reason": None}), to=to)
        log.close()
