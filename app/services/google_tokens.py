"""The token that opens a Google account now: kept sealed, refreshed by one at a time, deleted when withdrawn."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog

from app.database.connection import Database
from app.integrations import google
from app.integrations.google import GoogleOptions, GoogleRefused, GoogleUnavailable, Grant
from app.integrations.vault import SealBroken, Vault
from app.models.connection import Connection, MailScope, NotConnected, ReconnectNeeded, Token, mail_scopes
from app.models.errors import Conflict
from app.services import slack_notices
from app.services.uninterrupted import uninterrupted

FRESH_SECONDS = 60
HOLD_OFF_SECONDS = 2.0
PATIENCE_SECONDS = 25.0
_POLLS = (0.01, 0.02, 0.04)
_POLL = 0.05

log = structlog.get_logger(__name__)


def configured(options: GoogleOptions | None) -> GoogleOptions:
    """The operator's Google client. Raises Conflict, naming the variables, where there is none."""
    if options is None:
        raise Conflict(
            "Google is not set up on this server: set GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET.",
            code="google_not_configured",
            extra={"settings": ["GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET"]},
        )
    return options


def seal_place(table: str, column: str, workspace_id: UUID, row_id: UUID) -> tuple[str, str, str, str]:
    """Where a secret is stored; it opens nowhere else."""
    return (table, column, str(workspace_id), str(row_id))


async def access_token(
    database: Database,
    vault: Vault,
    options: GoogleOptions | None,
    workspace_id: UUID,
    user_id: UUID,
    scopes: Sequence[MailScope] = (),
) -> Token:
    """A token for the user's own Google account that holds for a minute at least.

    However many ask at once, in however many processes, one refreshes and the others wait for it. Raises NotConnected
    (naming what of `scopes` is missing), ReconnectNeeded, Conflict where Google is not set up or refuses the operator's
    client, GoogleUnavailable (transient).
    """
    here = configured(options)
    until, polls = time.monotonic() + PATIENCE_SECONDS, iter(_POLLS)
    while time.monotonic() < until:
        async with database.begin(workspace_id) as unit:
            found, fresh = await unit.connections.with_freshness(user_id, FRESH_SECONDS)
            row = _usable(found, scopes)
            if row.sealed_access is not None and fresh:
                return _token(vault, row, row.sealed_access)
            fence = await unit.connections.claim_refresh(
                row.id, row.version, seconds=here.seconds + 5, fresh=FRESH_SECONDS
            )
        if fence is None:
            await asyncio.sleep(next(polls, _POLL))
            continue
        token = await uninterrupted(_refresh(database, vault, here, row, fence))
        if token is not None:
            return token
    raise GoogleUnavailable("did not refresh the permission in time")


async def invalidate(database: Database, workspace_id: UUID, token: Token) -> None:
    """Google refused the token: the next `access_token` gets another one, unless that has happened already."""
    async with database.begin(workspace_id) as unit:
        await unit.connections.expire(token.connection_id, token.version)


def _usable(row: Connection | None, scopes: Sequence[MailScope]) -> Connection:
    if row is None or row.status == "revoked":
        raise NotConnected(scopes)
    if row.status == "reconnect_needed":
        raise ReconnectNeeded(row.account)
    missing: list[MailScope] = [scope for scope in scopes if scope not in mail_scopes(row.scopes)]
    if missing:
        raise NotConnected(missing, account=row.account)
    return row


def _token(vault: Vault, row: Connection, sealed: bytes) -> Token:
    return Token(opened(vault, row, "sealed_access", sealed), row.account, row.id, row.version)


def opened(vault: Vault, row: Connection, column: str, sealed: bytes) -> str:
    """A token of the connection in plain text. Raises Conflict where the key that sealed it is gone."""
    try:
        return vault.open(sealed, *seal_place("connections", column, row.workspace_id, row.id)).decode()
    except SealBroken as error:
        log.error("connection.unreadable", connection_id=str(row.id), reason=str(error))
        raise Conflict(
            "The stored permission cannot be read: the key that sealed it is not in SIXLANE_KEYS.",
            code="connection_unreadable",
        ) from error


async def _refresh(
    database: Database, vault: Vault, options: GoogleOptions, row: Connection, fence: int
) -> Token | None:
    """Get a new access token and store it, with no unit open meanwhile. Whoever holds the fence does this alone.

    None when the connection has changed meanwhile: it has to be looked at again.
    """
    assert row.sealed_refresh is not None, "a connection that is active has one"
    try:
        grant = await google.refresh(options, opened(vault, row, "sealed_refresh", row.sealed_refresh))
    except GoogleRefused as refused:
        if refused.code == "invalid_grant":
            if await _lose(database, row, fence):
                raise ReconnectNeeded(row.account) from refused
            return None
        await _hold_off(database, row, fence)
        raise client_refused(refused) from refused
    except GoogleUnavailable:
        await _hold_off(database, row, fence)
        raise
    values = sealed_tokens(vault, row.workspace_id, row.id, grant)
    if grant.scopes is not None:
        values["scopes"] = list(grant.scopes)
    async with database.begin(row.workspace_id) as unit:
        stored = await unit.connections.refreshed(row.id, fence, values, access_seconds=grant.seconds)
    return Token(grant.access_token, row.account, row.id, fence) if stored else None


async def _lose(database: Database, row: Connection, fence: int) -> bool:
    async with database.begin(row.workspace_id) as unit:
        lost = await unit.connections.lose(row.id, fence, "invalid_grant")
        if lost:
            await slack_notices.lost(unit, row.user_id, row.account)
    if lost:
        log.warning("connection.reconnect_needed", connection_id=str(row.id), user_id=str(row.user_id))
    return lost


async def _hold_off(database: Database, row: Connection, fence: int) -> None:
    async with database.begin(row.workspace_id) as unit:
        await unit.connections.hold_off(row.id, fence, HOLD_OFF_SECONDS)


def client_refused(refused: GoogleRefused) -> Conflict:
    """What Google's refusal of the operator's own client comes to."""
    return Conflict(
        f"Google refuses this server's client ({refused.code}): check GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET.",
        code="google_client_refused",
    )


def sealed_tokens(vault: Vault, workspace_id: UUID, connection_id: UUID, grant: Grant) -> dict[str, Any]:
    """The tokens of a grant as columns of the connection; a refresh token only where a new one was given."""
    given = {"sealed_access": grant.access_token, "sealed_refresh": grant.refresh_token}
    return {
        column: vault.seal(plain.encode(), *seal_place("connections", column, workspace_id, connection_id))
        for column, plain in given.items()
        if plain is not None
    }
