"""Users of one workspace, known by the id that the client gave them."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import users
from app.database.rows import columns_of
from app.models.identity import User
from app.models.ids import new_id

COLUMNS = columns_of(users, User)


class UserStore:
    """Queries over the users of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def get(self, user_id: UUID) -> User | None:
        """The user, or None."""
        statement = select(*COLUMNS).where(users.c.workspace_id == self._workspace_id, users.c.id == user_id)
        found = (await self._connection.execute(statement)).one_or_none()
        return User(*found) if found else None

    async def lock(self, user_id: UUID) -> None:
        """Hold the user's row against other lockers until the unit ends."""
        await self._connection.execute(
            select(users.c.id)
            .where(users.c.workspace_id == self._workspace_id, users.c.id == user_id)
            .with_for_update()
        )

    async def known_as(self, external_id: str) -> User | None:
        """The user whom the client calls `external_id`, or None."""
        statement = select(*COLUMNS).where(
            users.c.workspace_id == self._workspace_id, users.c.external_id == external_id
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return User(*found) if found else None

    async def see(self, external_id: str, *, is_owner: bool = False) -> User:
        """The user whom the client calls `external_id`, created on first sight."""
        found = await self.known_as(external_id)
        if found is not None:
            return found
        statement = (
            upsert(users)
            .values(workspace_id=self._workspace_id, id=new_id(), external_id=external_id, is_owner=is_owner)
            .on_conflict_do_nothing(index_elements=["workspace_id", "external_id"])
        )
        await self._connection.execute(statement)
        found = await self.known_as(external_id)
        assert found is not None
        return found

    async def owner(self) -> User | None:
        """The workspace's first owner, or None."""
        statement = (
            select(*COLUMNS)
            .where(users.c.workspace_id == self._workspace_id, users.c.is_owner)
            .order_by(users.c.id)
            .limit(1)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return User(*found) if found else None

    async def names(self, user_ids: list[UUID]) -> dict[UUID, str]:
        """What the client calls each of the users."""
        if not user_ids:
            return {}
        statement = select(users.c.id, users.c.external_id).where(
            users.c.workspace_id == self._workspace_id, users.c.id.in_(user_ids)
        )
        return {row.id: row.external_id for row in await self._connection.execute(statement)}
