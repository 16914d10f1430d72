"""Tokens of a linked account: one refresh however many ask, in however many processes, and what Google's noes mean."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, replace
from uuid import UUID

import pytest
from sqlalchemy import text
from support.google_server import GoogleServer, google_server, subject_of

from app.database.connection import Database
from app.integrations.google import GoogleOptions, GoogleUnavailable
from app.integrations.vault import Vault
from app.models.connection import Connection, NotConnected, ReconnectNeeded, Token, google_scopes
from app.models.errors import Conflict
from app.models.ids import new_id
from app.services import connections, google_tokens
from app.services.google_tokens import access_token, invalidate, sealed_tokens

ADA = "ada@example.com"
OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)


@pytest.fixture(scope="module")
def google() -> Iterator[GoogleServer]:
    with google_server() as server:
        yield server


@dataclass
class Mailbox:
    """One person's connection, as one process reaches it."""

    database: Database
    google: GoogleServer
    options: GoogleOptions
    vault: Vault
    workspace_id: UUID
    user_id: UUID

    async def token(self, *scopes: str) -> Token:
        """A token for this person."""
        return await access_token(
            self.database,
            self.vault,
            self.options,
            self.workspace_id,
            self.user_id,
            scopes,  # type: ignore[arg-type]
        )

    async def invalidate(self, token: Token) -> None:
        """Google refused it."""
        await invalidate(self.database, self.workspace_id, token)

    async def row(self) -> Connection:
        """The connection as it is stored."""
        async with self.database.begin(self.workspace_id) as unit:
            found = await unit.connections.of_user(self.user_id)
        assert found is not None
        return found

    async def revoke(self) -> Connection:
        """Take the connection away."""
        return await connections.revoke(self.database, self.vault, self.options, await self.row())

    async def later(self, seconds: int) -> None:
        """Let the ledger's time go on."""
        async with self.database.across() as unit:
            await unit.connection.execute(text(f"UPDATE app_clock SET offset_by = interval '{seconds} seconds'"))


@pytest.fixture
async def box(database: Database, google: GoogleServer) -> AsyncGenerator[Mailbox]:
    google.will(ADA)
    google.faults.clear()
    google.rotates, google.delay = False, 0.0
    google.counts.clear()
    async with database.across() as across:
        workspace = await across.directory.workspace("default")
    async with database.begin(workspace.id) as unit:
        user = await unit.users.see("ada")
    here = GoogleOptions(
        client_id=google.variables()["GOOGLE_CLIENT_ID"],
        client_secret=google.variables()["GOOGLE_CLIENT_SECRET"],
        redirect_uri=google.redirect_uri,
        authorize_url=f"{google.url}/authorize",
        token_url=f"{google.url}/token",
        revoke_url=f"{google.url}/revoke",
        userinfo_url=f"{google.url}/userinfo",
        certs_url=f"{google.url}/certs",
        gmail_base_url=google.url,
        seconds=2.0,
    )
    made = Mailbox(database, google, here, Vault([OLD]), workspace.id, user.id)
    await connect(made, ADA)
    yield made
    await made.later(0)


async def connect(box: Mailbox, account: str) -> None:
    """A connection whose access token has run out already."""
    grant = box.google.give(account, google_scopes(("read", "send")))
    async with box.database.begin(box.workspace_id) as unit:
        known = await unit.connections.of_user(box.user_id)
        row_id = known.id if known else new_id()
        values = {"id": row_id, "user_id": box.user_id, "subject": subject_of(account), "account": account}
        values |= {"scopes": list(grant.scopes or ()), **sealed_tokens(box.vault, box.workspace_id, row_id, grant)}
        await unit.connections.put(values, access_seconds=0)


async def test_fifty_at_once_in_two_processes_make_one_refresh(box: Mailbox, database_url: str) -> None:
    box.google.delay = 0.2
    other = Database(database_url, pool_size=5)
    try:
        elsewhere = replace(box, database=other)
        tokens = await asyncio.gather(*((box if n % 2 else elsewhere).token("read", "send") for n in range(50)))
    finally:
        await other.close()
    assert box.google.counts["refresh_token"] == 1
    assert len({token.value for token in tokens}) == 1
    assert all(box.google.whose(token.value) for token in tokens)
    assert (await box.token("read")).value == tokens[0].value
    assert box.google.counts["refresh_token"] == 1
    await box.later(3600 - 70)
    assert (await box.token("read")).value == tokens[0].value
    await box.later(3600 - 50)
    assert (await box.token("read")).value != tokens[0].value, "less than a minute was left"
    assert box.google.counts["refresh_token"] == 2


async def test_two_calls_that_are_refused_at_once_make_one_refresh(box: Mailbox) -> None:
    first = await box.token("read")
    box.google.expire()

    async def refused(wait: float) -> Token:
        await asyncio.sleep(wait)
        await box.invalidate(first)
        return await box.token("read")

    box.google.delay = 0.1
    second, third, late = await asyncio.gather(refused(0), refused(0), refused(0.4))
    assert second.value == third.value == late.value != first.value
    assert box.google.counts["refresh_token"] == 2
    assert box.google.whose(second.value)


async def test_a_new_refresh_token_takes_the_place_of_the_old_one(box: Mailbox) -> None:
    box.google.rotates = True
    before = (await box.row()).sealed_refresh
    for turn in range(3):
        await box.later(3600 * (turn + 1))
        assert await box.token("read")
    assert box.google.counts["refresh_token"] == 3
    after = (await box.row()).sealed_refresh
    assert after != before
    assert after is not None
    opened = google_tokens.opened(box.vault, await box.row(), "sealed_refresh", after)
    assert opened in box.google.refresh_tokens(ADA)


async def test_a_caller_that_leaves_does_not_lose_the_new_refresh_token(box: Mailbox) -> None:
    box.google.rotates, box.google.delay = True, 0.3
    caller = asyncio.ensure_future(box.token("read"))
    while not box.google.counts["/token"]:
        await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await box.token("read")
    assert box.google.counts["refresh_token"] == 1


async def test_a_withdrawn_permission_is_a_state_and_its_tokens_are_gone(box: Mailbox) -> None:
    box.google.withdraw(ADA)
    box.google.delay = 0.1
    found = await asyncio.gather(*(box.token("read") for _ in range(10)), return_exceptions=True)
    assert all(isinstance(one, ReconnectNeeded) for one in found)
    assert box.google.counts["/token"] == 1
    row = await box.row()
    assert (row.status, row.status_reason) == ("reconnect_needed", "invalid_grant")
    assert (row.sealed_access, row.sealed_refresh) == (None, None)
    with pytest.raises(ReconnectNeeded, match=ADA):
        await box.token("read")
    assert box.google.counts["/token"] == 1
    await connect(box, ADA)
    assert await box.token("read")


@pytest.mark.parametrize("fault", [500, 503, 429, 3.0])
async def test_google_being_away_is_no_refusal(box: Mailbox, fault: float) -> None:
    box.google.fail(fault)
    with pytest.raises(GoogleUnavailable):
        await box.token("read")
    row = await box.row()
    assert (row.status, row.sealed_refresh is not None) == ("active", True)
    waiting = asyncio.ensure_future(box.token("read"))
    await asyncio.sleep(0.2)
    assert box.google.counts["/token"] == 1, "nobody hammers"
    await box.later(3)
    assert await waiting


async def test_a_client_that_google_refuses_is_the_operators_to_mend(box: Mailbox) -> None:
    wrong = replace(box, options=replace(box.options, client_secret="wrong"))
    with pytest.raises(Conflict, match="GOOGLE_CLIENT_SECRET"):
        await wrong.token("read")
    assert (await box.row()).status == "active"
    assert "wrong" not in repr(wrong.options)


async def test_a_holder_that_died_holds_nobody_for_long(box: Mailbox) -> None:
    row = await box.row()
    async with box.database.begin(box.workspace_id) as unit:
        fence = await unit.connections.claim_refresh(row.id, row.version, seconds=15, fresh=60)
        assert fence is not None
        assert await unit.connections.claim_refresh(row.id, fence, seconds=15, fresh=60) is None
    await box.later(16)
    assert await box.token("read")
    async with box.database.begin(box.workspace_id) as unit:
        sealed = {"sealed_access": b"late"}
        assert await unit.connections.refreshed(row.id, fence, sealed, access_seconds=9) is False


async def test_taking_away_in_the_middle_of_a_refresh_wins(box: Mailbox) -> None:
    box.google.delay = 0.4
    caller = asyncio.ensure_future(box.token("read"))
    while not box.google.counts["/token"]:
        await asyncio.sleep(0.01)
    assert (await box.revoke()).status == "revoked"
    with pytest.raises(NotConnected):
        await caller
    assert (await box.row()).sealed_access is None
    assert box.google.refresh_tokens(ADA) == set()


async def test_taking_away_needs_no_google(box: Mailbox) -> None:
    away = replace(box, options=replace(box.options, revoke_url="http://127.0.0.1:9/revoke"))
    row = await away.revoke()
    assert (row.status, row.status_reason, row.sealed_refresh) == ("revoked", "google_not_told", None)


async def test_a_token_opens_at_its_own_place_only(box: Mailbox) -> None:
    await box.token("read")
    async with box.database.across() as unit:
        await unit.connection.execute(text("UPDATE connections SET sealed_access = sealed_refresh"))
    with pytest.raises(Conflict, match="SIXLANE_KEYS"):
        await box.token("read")
    lost = replace(box, vault=Vault([NEW]))
    with pytest.raises(Conflict):
        await lost.token("read")
    assert (await box.row()).status == "active", "a process with the wrong keys takes nothing away"


async def test_what_was_not_allowed_is_named(box: Mailbox) -> None:
    with pytest.raises(NotConnected) as found:
        await box.token("read", "label")
    assert found.value.missing == ("label",)
    assert ADA in found.value.detail
    nobody = replace(box, user_id=new_id())
    with pytest.raises(NotConnected, match="No Google account"):
        await nobody.token("read")
    with pytest.raises(Conflict, match="GOOGLE_CLIENT_ID"):
        await access_token(box.database, box.vault, None, box.workspace_id, box.user_id)
