"""Everything that keys of the ring protect, over all workspaces: what is sealed, and API keys that are hashed."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Column, ColumnElement, and_, bindparam, func, literal, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import api_keys, connections, oauth_states, webhook_secrets

COLUMNS: tuple[Column[bytes], ...] = (
    webhook_secrets.c.sealed,
    connections.c.sealed_refresh,
    connections.c.sealed_access,
    oauth_states.c.sealed_verifier,
)
"""Every column that holds sealed secrets; a test compares it with the schema."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """One sealed secret, and where it is."""

    workspace_id: UUID
    id: UUID
    sealed: bytes


class SealedStore:
    """Queries over all workspaces. A column is named by its place in `COLUMNS`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def others(self, number: int, head: bytes, *, after: tuple[UUID, UUID] | None, limit: int) -> list[Sealed]:
        """Up to `limit` secrets that do not begin with `head`, held until the unit ends.

        In the order of workspace and id, behind `after`; what others hold right now is passed over.
        """
        column = COLUMNS[number]
        place = tuple_(column.table.c.workspace_id, column.table.c.id)
        statement = select(column.table.c.workspace_id, column.table.c.id, column).where(_not_under(column, head))
        if after is not None:
            statement = statement.where(place > tuple_(literal(after[0]), literal(after[1])))
        statement = statement.order_by(column.table.c.workspace_id, column.table.c.id).limit(limit)
        rows = await self._connection.execute(statement.with_for_update(skip_locked=True))
        return [Sealed(*row) for row in rows]

    async def put(self, number: int, rows: Sequence[Sealed]) -> None:
        """Write secrets back that are held since `others`."""
        if not rows:
            return
        column = COLUMNS[number]
        mine = and_(column.table.c.workspace_id == bindparam("w"), column.table.c.id == bindparam("i"))
        statement = update(column.table).where(mine).values({column: bindparam("s")})
        await self._connection.execute(statement, [{"w": r.workspace_id, "i": r.id, "s": r.sealed} for r in rows])

    async def count(self, head: bytes) -> dict[str, int]:
        """How many secrets of each column do not begin with `head`."""
        found: dict[str, int] = {}
        for column in COLUMNS:
            statement = select(func.count()).select_from(column.table).where(_not_under(column, head))
            found[f"{column.table.name}.{column.name}"] = (await self._connection.execute(statement)).scalar_one()
        return found

    async def rehash(self, key_id: UUID, secret_hash: bytes) -> None:
        """Store an API key's hash under another pepper."""
        await self._connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(secret_hash=secret_hash))


def _not_under(column: Column[bytes], head: bytes) -> ColumnElement[bool]:
    return and_(column.is_not(None), column != b"", func.substring(column, 1, len(head)) != head)
