"""API keys of one workspace. The secret itself is never here, only its keyed hash."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import api_keys
from app.database.rows import columns_of
from app.models.identity import ApiKey

COLUMNS = columns_of(api_keys, ApiKey)


class KeyStore:
    """Queries over the API keys of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def add(
        self,
        key_id: UUID,
        *,
        user_id: UUID,
        user_bound: bool,
        name: str,
        prefix: str,
        secret_hash: bytes,
        scopes: list[str],
        expires_in_days: int | None,
    ) -> ApiKey:
        """Insert a key and return it as stored."""
        statement = (
            insert(api_keys)
            .values(
                workspace_id=self._workspace_id,
                id=key_id,
                user_id=user_id,
                user_bound=user_bound,
                name=name,
                prefix=prefix,
                secret_hash=secret_hash,
                scopes=scopes,
                expires_at=None if expires_in_days is None else _days_from_now(expires_in_days),
            )
            .returning(*COLUMNS)
        )
        return ApiKey(*(await self._connection.execute(statement)).one())

    async def get(self, key_id: UUID) -> ApiKey | None:
        """The key, or None."""
        statement = select(*COLUMNS).where(api_keys.c.workspace_id == self._workspace_id, api_keys.c.id == key_id)
        found = (await self._connection.execute(statement)).one_or_none()
        return ApiKey(*found) if found else None

    async def page(self, *, limit: int, after: UUID | None = None) -> list[ApiKey]:
        """Up to `limit` keys, revoked ones too, the newest first, older than `after`."""
        statement = select(*COLUMNS).where(api_keys.c.workspace_id == self._workspace_id)
        if after is not None:
            statement = statement.where(api_keys.c.id < after)
        statement = statement.order_by(api_keys.c.id.desc()).limit(limit)
        return [ApiKey(*row) for row in await self._connection.execute(statement)]

    async def revoke(self, key_id: UUID) -> ApiKey | None:
        """Revoke the key, once; None when this workspace has none with that id."""
        statement = (
            update(api_keys)
            .where(api_keys.c.workspace_id == self._workspace_id, api_keys.c.id == key_id)
            .values(revoked_at=func.coalesce(api_keys.c.revoked_at, func.app_now()))
            .returning(*COLUMNS)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return ApiKey(*found) if found else None


def _days_from_now(days: int) -> Any:
    return func.app_now() + func.make_interval(0, 0, 0, days)
