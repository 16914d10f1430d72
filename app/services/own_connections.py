"""Connecting an account from the command line: a link to open, and what became of it."""

import asyncio
from collections.abc import Sequence

from app.database.connection import Database
from app.integrations.google import GoogleOptions
from app.models.connection import MAIL_SCOPES, MailScope, Ticket
from app.models.errors import Conflict, InvalidInput
from app.services import connections, users

LOOK_SECONDS = 0.5


async def begin(
    database: Database, options: GoogleOptions | None, *, user: str | None, scopes: Sequence[str]
) -> Ticket:
    """A link that connects a Google account to the owner, or to another user of the owner's workspace.

    Raise InvalidInput for an unknown scope, Conflict where Google is not set up.
    """
    wanted: list[MailScope] = [scope for scope in MAIL_SCOPES if scope in scopes]
    if len(wanted) != len(set(scopes)):
        raise InvalidInput(f"A scope is one of {', '.join(MAIL_SCOPES)}.")
    owner = await users.local_owner(database)
    async with database.begin(owner.workspace_id) as unit:
        user_id = await users.subject(unit, owner, user)
        return await connections.ticket(unit, options, user_id, scopes=wanted, begun="local")


async def outcome(database: Database, ticket: Ticket) -> str:
    """The address that was connected, as soon as it is. Raise Conflict when nothing comes of the link."""
    owner = await users.local_owner(database)
    while True:
        async with database.begin(owner.workspace_id) as unit:
            state, now = await unit.connections.state(ticket.state_id), await unit.connections.now()
        if state is not None and "linked" in state.origin:
            return str(state.origin["linked"])
        if state is None or state.expires_at <= now:
            raise Conflict("Nobody went all the way in time.", code="link_expired")
        if "refused" in state.origin or "declined" in state.origin:
            raise Conflict(str(state.origin.get("refused", "It was declined.")), code="link_refused")
        await asyncio.sleep(LOOK_SECONDS)
