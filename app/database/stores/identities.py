"""Who people of one workspace are at outside services."""

from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import identities
from app.database.rows import columns_of
from app.models.ids import new_id
from app.models.slack import Identity

COLUMNS = columns_of(identities, Identity)


class IdentityStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def find(self, provider: str, subject: str) -> Identity | None:
        """Whom the service's `subject` stands for here, or None."""
        statement = select(*COLUMNS).where(
            identities.c.workspace_id == self._workspace_id,
            identities.c.provider == provider,
            identities.c.subject == subject,
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return Identity(*found) if found else None

    async def of_user(self, user_id: UUID, provider: str) -> Identity | None:
        """Who the user is at the service, or None."""
        statement = (
            select(*COLUMNS)
            .where(
                identities.c.workspace_id == self._workspace_id,
                identities.c.user_id == user_id,
                identities.c.provider == provider,
            )
            .order_by(identities.c.id)
            .limit(1)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return Identity(*found) if found else None

    async def link(self, provider: str, subject: str, user_id: UUID) -> Identity:
        """Say that the subject is this user; the first word stands. Returns what stands."""
        statement = (
            insert(identities)
            .values(workspace_id=self._workspace_id, id=new_id(), provider=provider, subject=subject, user_id=user_id)
            .on_conflict_do_nothing(index_elements=["workspace_id", "provider", "subject"])
        )
        await self._connection.execute(statement)
        found = await self.find(provider, subject)
        assert found is not None
        return found

    async def describe(self, identity_id: UUID, profile: dict[str, Any]) -> None:
        """Keep what the service says of the person."""
        await self._connection.execute(
            update(identities)
            .where(identities.c.workspace_id == self._workspace_id, identities.c.id == identity_id)
            .values(profile=profile)
        )
