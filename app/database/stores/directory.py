"""What has to be found before a workspace is known: workspaces by name and API keys by id; and what is overdue."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import api_keys, approvals, awaited_calls, runs, workspaces
from app.database.rows import columns_of
from app.models.identity import ApiKey, Workspace
from app.models.ids import new_id

_KEY = columns_of(api_keys, ApiKey)
_WORKSPACE = columns_of(workspaces, Workspace)


class DirectoryStore:
    """Look-ups across workspaces; the doors use them to learn who asks."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def workspace(self, name: str) -> Workspace:
        """The workspace of that name, created when there is none."""
        found = await self._workspace(name)
        if found is None:
            statement = upsert(workspaces).values(id=new_id(), name=name)
            await self._connection.execute(statement.on_conflict_do_nothing(index_elements=["name"]))
            found = await self._workspace(name)
        assert found is not None
        return found

    async def first_workspace(self) -> Workspace | None:
        """The workspace that was made first, or None while there is none."""
        statement = select(*_WORKSPACE).order_by(workspaces.c.created_at, workspaces.c.id).limit(1)
        found = (await self._connection.execute(statement)).one_or_none()
        return Workspace(*found) if found else None

    async def _workspace(self, name: str) -> Workspace | None:
        statement = select(*_WORKSPACE).where(workspaces.c.name == name)
        found = (await self._connection.execute(statement)).one_or_none()
        return Workspace(*found) if found else None

    async def api_key(self, key_id: UUID) -> tuple[ApiKey, datetime] | None:
        """The key with that id and the ledger's present time, or None."""
        statement = select(*_KEY, func.app_now()).where(api_keys.c.id == key_id)
        found = (await self._connection.execute(statement)).one_or_none()
        if found is None:
            return None
        *columns, now = found
        return ApiKey(*columns), now

    async def key_used(self, key_id: UUID) -> None:
        """Note that the key was used; at most one write a minute."""
        minute_ago = func.app_now() - text("interval '1 minute'")
        statement = (
            update(api_keys)
            .where(
                api_keys.c.id == key_id,
                or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < minute_ago),
            )
            .values(last_used_at=func.app_now())
        )
        await self._connection.execute(statement)

    async def overdue_approvals(self, limit: int) -> list[tuple[UUID, UUID, UUID]]:
        """Workspace, run and conversation of runs that still wait for an approval whose time is over."""
        statement = (
            select(approvals.c.workspace_id, approvals.c.run_id, approvals.c.conversation_id)
            .where(approvals.c.status == "pending", approvals.c.expires_at <= func.app_now())
            .distinct()
            .limit(limit)
        )
        return [(row[0], row[1], row[2]) for row in await self._connection.execute(statement)]

    async def overdue_calls(self, limit: int) -> list[tuple[UUID, UUID, UUID]]:
        """Workspace, run and conversation of runs that wait for a call whose time is over."""
        statement = (
            select(runs.c.workspace_id, runs.c.id, runs.c.conversation_id)
            .join(
                awaited_calls,
                (awaited_calls.c.workspace_id == runs.c.workspace_id) & (awaited_calls.c.run_id == runs.c.id),
            )
            .where(awaited_calls.c.status == "pending", awaited_calls.c.expires_at <= func.app_now())
            .distinct()
            .limit(limit)
        )
        return [(row[0], row[1], row[2]) for row in await self._connection.execute(statement)]
