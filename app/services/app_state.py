"""The application's state for the agent of one attempt: read as it is, changed in one commit with journal and event."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from app.agents.context import StateNow, Wish
from app.database.connection import Database
from app.database.unit import Unit
from app.models.context import ContextChanges
from app.models.conversation import Conversation
from app.models.errors import Conflict, LeaseLost, NotFound
from app.models.frames import EventBatch
from app.services import contexts
from app.services.attempt import Attempt
from app.services.history import step_of
from app.services.uninterrupted import uninterrupted

Operations = Sequence[Mapping[str, Any]]


class AttemptState:
    """The state of the application that the attempt's conversation belongs to. `most` is in bytes of JSON text."""

    def __init__(self, database: Database, attempt: Attempt, *, most: int) -> None:
        self._database = database
        self._attempt = attempt
        self._most = most
        self._one_at_a_time = asyncio.Lock()

    async def read(self) -> StateNow:
        """The state as it is just now."""
        row = await self._row()
        return StateNow(row.context_data, row.context_version, cast("ContextChanges", row.context_changes))

    async def check(self, operations: Operations, version: int | None) -> None:
        """Raise InvalidInput or Conflict for a change that could not be made."""
        row = await self._row()
        contexts.check_version(row, version)
        contexts.with_patch(row, operations, most=self._most)

    async def change(self, call: str, operations: Operations, wish: Wish) -> Mapping[str, Any]:
        """Propose the change to the client or make it, as the conversation says at this moment.

        What is told, what is stored and the journal's word that the call is done are one commit: a call that is
        carried out again after a crash finds its result. Raises InvalidInput, Conflict, LeaseLost.
        """
        async with self._one_at_a_time:
            return await uninterrupted(_Change(self._attempt, call, operations, wish, self._most).make())

    async def _row(self) -> Conversation:
        async with self._database.begin(self._attempt.run.workspace_id) as unit:
            return _there(await unit.conversations.get(self._attempt.run.conversation_id))


def _there(row: Conversation | None) -> Conversation:
    if row is None:
        raise NotFound("The conversation is gone.", code="conversation_not_found")
    return row


@dataclass(slots=True)
class _Change:
    """One call of `update_context`. `batch` are the events of its commit."""

    attempt: Attempt
    call: str
    operations: Operations
    wish: Wish
    most: int
    batch: EventBatch | None = None

    async def make(self) -> Mapping[str, Any]:
        events = self.attempt.events
        try:
            result = await self.attempt.persist(self._write, done=self._made)
        except BaseException:
            events.rolled_back(self.batch)
            raise
        events.committed(self.batch)
        return result

    async def _write(self, unit: Unit) -> Mapping[str, Any]:
        self.attempt.events.rolled_back(self.batch)  # of a try before, whose commit came to nothing
        self.batch = None
        row = _there(await unit.conversations.lock(self.attempt.run.conversation_id))
        contexts.check_version(row, self.wish.version)
        data = contexts.with_patch(row, self.operations, most=self.most)
        applied = row.context_changes != "propose"
        if applied:
            self._check_agreed(row)
            await contexts.put(unit, row, data)
        result = _result(row.context_version, applied=applied)
        await self._tell(unit, row.context_version, result)
        return result

    def _check_agreed(self, row: Conversation) -> None:
        """What policy has judged may have been another way of making changes."""
        if not self.wish.agreed and (row.context_changes == "ask" or self.attempt.tainted):
            raise Conflict("Changes need a person's agreement by now; ask for this one again.", code="not_agreed")

    async def _tell(self, unit: Unit, base: int, result: Mapping[str, Any]) -> None:
        attempt, run = self.attempt, self.attempt.run
        told = {
            "tool_call_id": self.call,
            "patch": list(self.operations),
            "base_version": base,
            "applied": result["applied"],
            "version": result.get("version"),
            "why": self.wish.why,
            "taint": sorted(attempt.tainted),
        }
        self.batch = batch = attempt.events.take(("context.patch", told))
        assert batch is not None
        if await unit.runs.checkpoint(run.id, run.fence, last_seq=batch.last_seq) is None:
            raise LeaseLost
        await unit.events.add(run.id, batch)
        await unit.journal.finish(run.id, self._step, self.call, status="done", result=dict(result))

    async def _made(self, unit: Unit) -> Mapping[str, Any] | None:
        known = await unit.journal.get(self.attempt.run.id, self._step, self.call)
        return known.result if known is not None and known.status == "done" else None

    @property
    def _step(self) -> int:
        return step_of(self.attempt.messages, self.attempt.run.id)


def _result(base: int, *, applied: bool) -> dict[str, Any]:
    if applied:
        return {"applied": True, "version": base + 1}
    return {"applied": False, "base_version": base, "note": "Proposed to the application, which decides about it."}
