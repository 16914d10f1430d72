"""What agents remember for a user: given to a run when it begins, listed, and forgotten."""

from uuid import UUID

from app.database.connection import Database
from app.database.unit import Unit
from app.models.agent import MemoryScope
from app.models.errors import NotFound
from app.models.identity import Principal
from app.models.memory import Memory, MemoryOut
from app.models.run import Run
from app.services import users

GIVEN = 20
"""The most notes that a run is given."""


async def given(database: Database, run: Run, scope: MemoryScope) -> list[Memory]:
    """The newest notes of the scope for the run's user; none where memory is off."""
    if scope == "off":
        return []
    async with database.begin(run.workspace_id) as unit:
        agent = run.agent if scope == "agent" else ""
        return await unit.notes.recall(run.user_id, "", agent=agent, limit=GIVEN)


async def page(
    unit: Unit, principal: Principal, *, limit: int, after: UUID | None, user_id: str | None, agent: str | None
) -> list[Memory]:
    """Notes, the newest first; of one user when `user_id` names one, of one agent when `agent` does."""
    whose, nobody = await users.filtered(unit, principal, user_id)
    return [] if nobody else await unit.notes.page(limit=limit, after=after, user_id=whose, agent=agent)


async def show(unit: Unit, rows: list[Memory]) -> list[MemoryOut]:
    """Notes as clients see them."""
    names = await unit.users.names([row.user_id for row in rows])
    return [
        MemoryOut(
            id=row.id,
            user_id=names[row.user_id],
            agent=row.agent or None,
            key=row.key,
            text=row.text,
            taint=row.taint,
            run_id=row.run_id,
            conversation_id=row.conversation_id,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for row in rows
    ]


async def forget(unit: Unit, principal: Principal, note_id: UUID) -> None:
    """Delete a note. Raises NotFound."""
    row = await unit.notes.get(note_id)
    if row is None:
        raise NotFound("There is no such memory.", code="memory_not_found")
    users.check_visible(principal, row.user_id, "memory")
    await unit.notes.delete(row.id)


async def forget_all(unit: Unit, principal: Principal, user_id: str, agent: str | None) -> int:
    """Delete every note of a user, or of one agent for that user; returns how many there were."""
    whose, nobody = await users.filtered(unit, principal, user_id)
    return 0 if nobody or whose is None else await unit.notes.delete_all(whose, agent)
