"""Linked outside accounts of one workspace, their sealed tokens, and links on their way."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, insert, literal, not_, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import connections, oauth_states
from app.database.rows import columns_of
from app.models.connection import GOOGLE, Connection, LinkState

_ROW = columns_of(connections, Connection)
_STATE = columns_of(oauth_states, LinkState)
_NO_TOKENS: dict[str, Any] = {
    "sealed_refresh": None,
    "sealed_access": None,
    "access_expires_at": None,
    "refreshing_until": None,
}


def _in(seconds: float) -> Any:
    return func.app_now() + text(f"interval '{float(seconds)} seconds'")


def _fresh(seconds: float) -> ColumnElement[bool]:
    return func.coalesce(connections.c.access_expires_at > _in(seconds), literal(False))


class ConnectionStore:
    """Queries over one workspace. What changes tokens names the version that it saw, and says whether it still held."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def get(self, connection_id: UUID) -> Connection | None:
        """The connection, or None."""
        return await self._one(connections.c.id == connection_id)

    async def of_user(self, user_id: UUID, provider: str = GOOGLE) -> Connection | None:
        """The user's connection with the provider, or None."""
        return await self._one(and_(connections.c.user_id == user_id, connections.c.provider == provider))

    async def _one(self, condition: Any) -> Connection | None:
        statement = select(*_ROW).where(connections.c.workspace_id == self._workspace_id, condition)
        found = (await self._connection.execute(statement)).one_or_none()
        return Connection(*found) if found else None

    async def page(
        self, *, limit: int, after: UUID | None = None, user_id: UUID | None = None, status: str | None = None
    ) -> list[Connection]:
        """Up to `limit` connections, the newest first, older than `after`."""
        statement = select(*_ROW).where(connections.c.workspace_id == self._workspace_id)
        if after is not None:
            statement = statement.where(connections.c.id < after)
        if user_id is not None:
            statement = statement.where(connections.c.user_id == user_id)
        if status is not None:
            statement = statement.where(connections.c.status == status)
        rows = await self._connection.execute(statement.order_by(connections.c.id.desc()).limit(limit))
        return [Connection(*row) for row in rows]

    async def with_freshness(self, user_id: UUID, seconds: float) -> tuple[Connection | None, bool]:
        """The user's Google connection, and whether its access token holds for at least so many seconds more."""
        statement = select(*_ROW, _fresh(seconds)).where(
            connections.c.workspace_id == self._workspace_id,
            connections.c.user_id == user_id,
            connections.c.provider == GOOGLE,
        )
        found = (await self._connection.execute(statement)).one_or_none()
        if found is None:
            return None, False
        *columns, fresh = found
        return Connection(*columns), bool(fresh)

    async def put(self, values: dict[str, Any], *, access_seconds: int) -> Connection:
        """Insert the connection, or replace the one with its id; the user's row is locked by the caller."""
        whole = {**values, "status": "active", "status_reason": None, "access_expires_at": _in(access_seconds)}
        changed = {**whole, "version": connections.c.version + 1, "updated_at": func.app_now()}
        statement: Any = update(connections).where(self._is(values["id"])).values(**changed, refreshing_until=None)
        found = (await self._connection.execute(statement.returning(*_ROW))).one_or_none()
        if found is None:
            statement = insert(connections).values(workspace_id=self._workspace_id, provider=GOOGLE, **whole)
            found = (await self._connection.execute(statement.returning(*_ROW))).one()
        return Connection(*found)

    async def claim_refresh(self, connection_id: UUID, version: int, *, seconds: float, fresh: float) -> int | None:
        """Hold the tokens for the one that refreshes them, at most so long; their new version.

        None when somebody else holds them, has changed them, or when they hold for `fresh` seconds more by now.
        """
        free = or_(connections.c.refreshing_until.is_(None), connections.c.refreshing_until <= func.app_now())
        values = {"refreshing_until": _in(seconds), "version": version + 1}
        active = connections.c.status == "active"
        return await self._changed(connection_id, version, values, free, active, not_(_fresh(fresh)))

    async def refreshed(
        self, connection_id: UUID, version: int, values: dict[str, Any], *, access_seconds: int
    ) -> bool:
        """Store what the refresh gave: the sealed access token, a new refresh token, scopes."""
        whole = {**values, "access_expires_at": _in(access_seconds), "refreshing_until": None}
        return await self._changed(connection_id, version, {**whole, "updated_at": func.app_now()}) is not None

    async def hold_off(self, connection_id: UUID, version: int, seconds: float) -> None:
        """A refresh came to nothing: nobody tries again before so many seconds."""
        await self._changed(connection_id, version, {"refreshing_until": _in(seconds)})

    async def expire(self, connection_id: UUID, version: int) -> bool:
        """The access token of this version is good no more."""
        return await self._changed(connection_id, version, {"access_expires_at": func.app_now()}) is not None

    async def lose(self, connection_id: UUID, version: int, reason: str) -> bool:
        """The permission is gone: delete the tokens; the person has to connect again."""
        values = {**_NO_TOKENS, "status": "reconnect_needed", "status_reason": reason, "updated_at": func.app_now()}
        return await self._changed(connection_id, version, {**values, "version": version + 1}) is not None

    async def revoke(self, connection_id: UUID) -> None:
        """Delete the tokens for good."""
        values = {**_NO_TOKENS, "status": "revoked", "version": connections.c.version + 1}
        statement = update(connections).where(self._is(connection_id), connections.c.status != "revoked")
        await self._connection.execute(statement.values(**values, status_reason=None, updated_at=func.app_now()))

    async def note(self, connection_id: UUID, reason: str | None) -> None:
        """Say why a revoked connection is as it is."""
        statement = update(connections).where(self._is(connection_id), connections.c.status == "revoked")
        await self._connection.execute(statement.values(status_reason=reason))

    async def _changed(self, connection_id: UUID, version: int, values: dict[str, Any], *more: Any) -> int | None:
        statement = (
            update(connections)
            .where(self._is(connection_id), connections.c.version == version, *more)
            .values(**values)
            .returning(connections.c.version)
        )
        return (await self._connection.execute(statement)).scalar_one_or_none()

    def _is(self, connection_id: UUID) -> Any:
        return and_(connections.c.workspace_id == self._workspace_id, connections.c.id == connection_id)

    async def add_state(self, values: dict[str, Any], *, seconds: float) -> LinkState:
        """Write down a link on its way."""
        row = {**values, "workspace_id": self._workspace_id, "provider": GOOGLE, "expires_at": _in(seconds)}
        statement = insert(oauth_states).values(**row).returning(*_STATE)
        return LinkState(*(await self._connection.execute(statement)).one())

    async def state(self, state_id: UUID) -> LinkState | None:
        """A link on its way, or one that has arrived."""
        statement = select(*_STATE).where(
            oauth_states.c.workspace_id == self._workspace_id, oauth_states.c.id == state_id
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return LinkState(*found) if found else None

    async def now(self) -> datetime:
        """The ledger's present time."""
        return (await self._connection.execute(select(func.app_now()))).scalar_one()
