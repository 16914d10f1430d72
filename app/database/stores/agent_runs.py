"""Runs of the agent runner: one at a time for a user."""

from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import runs

_LOCK = 7_301_022
_LOCK_NOT_AVAILABLE = "55P03"


class AgentRunStore:
    """Queries over the agent runner's runs of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def alone(self, user_id: UUID, seconds: float) -> bool:
        """Wait, at most so long, until no other unit begins a run for the user; False when one still does."""
        patience = f"{max(int(seconds * 1000), 1)}ms"
        await self._connection.execute(select(func.set_config("lock_timeout", patience, True)))
        try:
            await self._connection.execute(select(func.pg_advisory_xact_lock(_LOCK, func.hashtext(str(user_id)))))
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            return False
        await self._connection.execute(text("SET LOCAL lock_timeout = 0"))
        return True

    async def active(self, user_id: UUID) -> UUID | None:
        """The user's run that has not ended."""
        statement = select(runs.c.id).where(
            runs.c.workspace_id == self._workspace_id,
            runs.c.user_id == user_id,
            runs.c.trigger == "agent_run",
            runs.c.status.in_(("queued", "running", "waiting")),
        )
        return (await self._connection.execute(statement)).scalar_one_or_none()
