"""Links on their way over all workspaces: a browser shows a secret, and that names the row."""

from typing import Any

from sqlalchemy import and_, delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import oauth_states
from app.database.rows import columns_of
from app.models.connection import LinkState

_STATE = columns_of(oauth_states, LinkState)


class LinkStore:
    """Queries over all workspaces."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def take(self, secret_hash: bytes) -> LinkState | None:
        """The link that this secret opens, this once. None when there is none, or not any more."""
        statement = (
            update(oauth_states)
            .where(
                oauth_states.c.state_hash == secret_hash,
                oauth_states.c.used_at.is_(None),
                oauth_states.c.expires_at > func.app_now(),
            )
            .values(used_at=func.app_now())
            .returning(*_STATE)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return LinkState(*found) if found else None

    async def go_on(self, state: LinkState, values: dict[str, Any], *, seconds: float) -> None:
        """Let a link that was taken go on under a new secret."""
        until = func.app_now() + text(f"interval '{float(seconds)} seconds'")
        statement = update(oauth_states).where(_is(state)).values(**values, used_at=None, expires_at=until)
        await self._connection.execute(statement)

    async def end(self, state: LinkState, outcome: dict[str, Any]) -> None:
        """Write down what became of a link; whatever it still held is deleted."""
        values = {"origin": {**state.origin, **outcome}, "sealed_verifier": b"", "nonce": ""}
        await self._connection.execute(update(oauth_states).where(_is(state)).values(**values))

    async def forget(self, batch: int) -> int:
        """Delete links that were begun more than a day ago."""
        old = (
            select(oauth_states.c.id)
            .where(oauth_states.c.created_at < func.app_now() - text("interval '1 day'"))
            .limit(batch)
        )
        return (await self._connection.execute(delete(oauth_states).where(oauth_states.c.id.in_(old)))).rowcount


def _is(state: LinkState) -> Any:
    return and_(oauth_states.c.workspace_id == state.workspace_id, oauth_states.c.id == state.id)
