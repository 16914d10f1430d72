"""Linked Google accounts: who has one, links that begin one, and taking one away."""

import hashlib
import secrets
from collections.abc import Sequence
from urllib.parse import urlencode
from uuid import UUID

import structlog

from app.database.connection import Database
from app.database.unit import Unit
from app.integrations import google
from app.integrations.google import GoogleOptions
from app.integrations.vault import Vault
from app.models.connection import (
    USUAL_SCOPES,
    Connection,
    ConnectionOut,
    GoogleStatusOut,
    MailScope,
    Ticket,
    google_scopes,
    mail_scopes,
)
from app.models.errors import Conflict, NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.services.google_tokens import access_token, configured, invalidate, opened
from app.services.users import check_visible

START = "/connections/google/start"
LINK_SECONDS = 600

__all__ = ["access_token", "configured", "get", "invalidate", "page", "remove", "revoke", "show", "status", "ticket"]

log = structlog.get_logger(__name__)


def secret_hash(phase: str, secret: str) -> bytes:
    """How the secret of a link's phase is stored; it is good in no other phase."""
    return hashlib.sha256(f"{phase}:{secret}".encode("utf-8", "replace")).digest()


async def ticket(
    unit: Unit,
    options: GoogleOptions | None,
    user_id: UUID,
    profile_email: str | None = None,
    *,
    person: str | None = None,
    scopes: Sequence[MailScope] = USUAL_SCOPES,
    begun: str = "slack",
) -> Ticket:
    """A link for one person's browser: it opens once, within ten minutes, and connects an account to `user_id`.

    With `profile_email` only the Google account of that address can be connected. `person` is how the last page names
    whom the mailbox is opened to. `begun` says where the link was asked for: `slack`, `api` or `local`; only a local
    one, opened at the same machine, is spared that page's question. Raises Conflict where Google is not set up.
    """
    here, secret = configured(options), secrets.token_urlsafe(32)
    user = await unit.users.get(user_id)
    assert user is not None
    state = await unit.connections.add_state(
        {
            "id": new_id(),
            "user_id": user_id,
            "state_hash": secret_hash("ticket", secret),
            "sealed_verifier": b"",
            "nonce": "",
            "scopes": list(google_scopes(scopes)),
            "origin": {"begun": begun, "email": profile_email, "person": person or user.external_id},
        },
        seconds=LINK_SECONDS,
    )
    return Ticket(state.id, f"{here.home}{START}?{urlencode({'ticket': secret})}", state.expires_at)


async def revoke(database: Database, vault: Vault, options: GoogleOptions | None, row: Connection) -> Connection:
    """Take a connection away: the tokens are deleted here first and for certain, then withdrawn at Google.

    The row stays and says `revoked`; its reason is `google_not_told` where Google did not confirm, and the person
    should look at the permissions of the account there.
    """
    async with database.begin(row.workspace_id) as unit:
        await unit.users.lock(row.user_id)
        row = await unit.connections.get(row.id) or row
        await unit.connections.revoke(row.id)
    if row.sealed_refresh is not None:
        told = await _withdraw(vault, options, row, row.sealed_refresh)
        async with database.begin(row.workspace_id) as unit:
            await unit.connections.note(row.id, None if told else "google_not_told")
        log.info("connection.revoked", connection_id=str(row.id), google_told=told)
    async with database.begin(row.workspace_id) as unit:
        return await unit.connections.get(row.id) or row


async def _withdraw(vault: Vault, options: GoogleOptions | None, row: Connection, sealed: bytes) -> bool:
    if options is None:
        return False
    try:
        token = opened(vault, row, "sealed_refresh", sealed)
    except Conflict:
        return False
    return await google.revoke(options, token) or await google.revoke(options, token)


async def remove(
    database: Database, vault: Vault, options: GoogleOptions | None, principal: Principal, connection_id: UUID
) -> ConnectionOut:
    """Take away a connection that the principal may see. Raises NotFound."""
    async with database.begin(principal.workspace_id) as unit:
        row = await get(unit, principal, connection_id)
    row = await revoke(database, vault, options, row)
    async with database.begin(principal.workspace_id) as unit:
        return (await show(unit, [row]))[0]


async def get(unit: Unit, principal: Principal, connection_id: UUID) -> Connection:
    """The connection. Raises NotFound, also for one of another person than a user-bound key's."""
    row = await unit.connections.get(connection_id)
    if row is None:
        raise NotFound("There is no such connection.")
    check_visible(principal, row.user_id, "connection")
    return row


async def page(
    unit: Unit, *, limit: int, after: UUID | None, user_id: UUID | None, status: str | None, nobody: bool = False
) -> list[Connection]:
    """One page of the workspace's connections, or of one user's; of `nobody` there are none."""
    if nobody:
        return []
    return await unit.connections.page(limit=limit, after=after, user_id=user_id, status=status)


async def status(unit: Unit, options: GoogleOptions | None, user_id: UUID | None) -> GoogleStatusOut:
    """What the user's connection is like; None stands for somebody who has never been here."""
    row = await unit.connections.of_user(user_id) if user_id else None
    shown = (await show(unit, [row]))[0] if row else None
    connected = row is not None and row.status == "active"
    return GoogleStatusOut(configured=options is not None, connected=connected, connection=shown)


async def show(unit: Unit, rows: Sequence[Connection]) -> list[ConnectionOut]:
    """The connections as clients see them."""
    names = await unit.users.names([row.user_id for row in rows])
    return [
        ConnectionOut(
            id=row.id,
            provider="google",
            user_id=names[row.user_id],
            account=row.account,
            status=row.status,
            status_reason=row.status_reason,
            scopes=[] if row.status == "revoked" else mail_scopes(row.scopes),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for row in rows
    ]
