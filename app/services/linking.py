"""The way of a link through a browser: from the ticket to Google and back, the last question, and the account.

Every step shows a secret that holds once, in the one browser that opened the ticket. What comes back is checked
against what was asked (RFC 6749, RFC 7636, RFC 9207, OpenID Connect Core 3.1.3.7) before anything is stored.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.database.connection import Database
from app.database.unit import Unit
from app.integrations import google
from app.integrations.google import Asking, GoogleOptions, GoogleRefused, Grant, Person, authorize_address
from app.integrations.vault import SealBroken, Vault
from app.models.connection import Connection, Declined, Departure, Linked, LinkRefused, LinkState, Question, mail_scopes
from app.models.errors import AppError, Transient
from app.models.ids import new_id
from app.services import slack_notices
from app.services.connections import LINK_SECONDS, secret_hash
from app.services.google_tokens import client_refused, seal_place, sealed_tokens

USED = "This link was used before, has expired, or was never ours. Ask for a new one."
OTHER_BROWSER = (
    "This was begun in another browser, so nothing was connected. If somebody sent you the link, close this page; "
    "if it was you, ask for a new link and open it here."
)
ONCE_MORE = "Google's answer could not be used. Ask for a new link and try once more."
_NOT_OURS = frozenset({"invalid_grant", "invalid_id_token"})


@dataclass(frozen=True, slots=True)
class Linking:
    """What accounts are linked with."""

    database: Database
    vault: Vault
    options: GoogleOptions


@dataclass(frozen=True, slots=True)
class Answer:
    """What Google sends a browser back with."""

    state: str
    code: str | None = None
    error: str | None = None
    issuer: str | None = None


async def depart(linking: Linking, ticket: str, *, at_home: bool) -> Departure:
    """Open a ticket: from here on the link holds in this browser only. Raises LinkRefused.

    `at_home` says that the owner of the machine opens it there.
    """
    async with linking.database.across() as across:
        row = await across.links.take(secret_hash("ticket", ticket))
    if row is None:
        raise LinkRefused(USED)
    state, verifier, nonce, browser = (secrets.token_urlsafe(48) for _ in range(4))
    async with linking.database.begin(row.workspace_id) as unit:
        known = await unit.connections.of_user(row.user_id)
        await unit.links.go_on(
            row,
            {
                "state_hash": secret_hash("google", state),
                "browser_hash": secret_hash("browser", browser),
                "sealed_verifier": linking.vault.seal(verifier.encode(), *_place(row)),
                "nonce": nonce,
                "origin": {**row.origin, "ask": not (at_home and row.origin.get("begun") == "local")},
            },
            seconds=LINK_SECONDS,
        )
    lasting = known is not None and known.status == "active"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    hint = row.origin.get("email") or (known.account if known and lasting else None)
    asking = Asking(state, nonce, challenge, row.scopes, consent=not lasting, hint=hint)
    return Departure(authorize_address(linking.options, asking), cookie_name(linking.options, row), browser)


async def arrive(linking: Linking, answer: Answer, cookies: Mapping[str, str]) -> Linked | Question | Declined:
    """Google sent the browser back. Raises LinkRefused, Conflict for a client that Google refuses, GoogleUnavailable.

    Whatever comes of it, the state is used up, also when another browser shows it.
    """
    row = await _taken(linking, "google", answer.state, cookies)
    try:
        return await _arrived(linking, row, answer)
    except (AppError, Transient) as error:
        await _end(linking, row, {"refused": error.detail})
        raise


async def confirm(linking: Linking, token: str, cookies: Mapping[str, str], *, agreed: bool) -> Linked | Declined:
    """The answer to the last question, from the browser that was asked. Raises LinkRefused."""
    row = await _taken(linking, "confirm", token, cookies)
    if not agreed:
        await _end(linking, row, {"declined": True})
        return Declined(row.origin["person"])
    pending: dict[str, Any] = json.loads(_opened(linking, row))
    grant = Grant(
        pending["access_token"],
        max(0, pending["seconds"] - LINK_SECONDS),  # some of its time has gone while the person thought
        pending["refresh_token"],
        tuple(pending["scopes"]),
        None,
    )
    try:
        async with linking.database.begin(row.workspace_id) as unit:
            return await _link(linking, unit, row, grant, Person(pending["subject"], pending["account"]))
    except LinkRefused as refused:
        await _end(linking, row, {"refused": refused.detail})
        raise


def cookie_name(options: GoogleOptions, row: LinkState) -> str:
    """The cookie of one link, so that two of them can be on their way in one browser."""
    return f"{'__Host-' if options.home.startswith('https:') else ''}sixlane_link_{row.id.hex[-12:]}"


async def _taken(linking: Linking, phase: str, secret: str, cookies: Mapping[str, str]) -> LinkState:
    async with linking.database.across() as across:
        row = await across.links.take(secret_hash(phase, secret))
    if row is None:
        raise LinkRefused(USED)
    shown = secret_hash("browser", cookies.get(cookie_name(linking.options, row), ""))
    if not secrets.compare_digest(shown, row.browser_hash or b""):
        await _end(linking, row, {"refused": OTHER_BROWSER})
        raise LinkRefused(OTHER_BROWSER)
    return row


async def _arrived(linking: Linking, row: LinkState, answer: Answer) -> Linked | Question | Declined:
    if answer.issuer is not None and answer.issuer != linking.options.issuer:
        raise LinkRefused("The answer came from somewhere else than Google. Nothing was connected.")
    if answer.error == "access_denied":
        await _end(linking, row, {"declined": True})
        return Declined(row.origin["person"])
    if answer.error is not None or not answer.code:
        raise LinkRefused(ONCE_MORE)
    grant, person = await _grant_of(linking, row, answer.code)
    expected = row.origin.get("email")
    if expected is not None and person.address.casefold() != str(expected).casefold():
        raise LinkRefused(
            f"This link connects {expected} only, and you chose {person.address}. Nothing was connected. "
            "If somebody sent you the link, they would have got your mail."
        )
    async with linking.database.begin(row.workspace_id) as unit:
        if row.origin.get("ask", True):
            await _fitting(unit, row, grant, person)
            return await _ask(linking, unit, row, grant, person)
        return await _link(linking, unit, row, grant, person)


async def _grant_of(linking: Linking, row: LinkState, code: str) -> tuple[Grant, Person]:
    """Trade the code for tokens and see whose they are; with no unit open."""
    try:
        grant = await google.exchange(linking.options, code, _opened(linking, row))
        return grant, await google.person(linking.options, grant, row.nonce)
    except GoogleRefused as refused:
        if refused.code == "unverified_email":
            raise LinkRefused("Google has not verified the address of this account, so it cannot be used.") from refused
        if refused.code in _NOT_OURS:
            raise LinkRefused(ONCE_MORE) from refused
        raise client_refused(refused) from refused


async def _fitting(unit: Unit, row: LinkState, grant: Grant, person: Person) -> Connection | None:
    """The user's connection that the account fits into, held until the unit ends; None when there is none yet."""
    await unit.users.lock(row.user_id)
    known = await unit.connections.of_user(row.user_id)
    if known is not None and known.status != "revoked" and known.subject != person.subject:
        raise LinkRefused(
            f"{row.origin['person']} is connected with {known.account}. Disconnect that account before you connect "
            f"{person.address}."
        )
    if grant.refresh_token is None and (known is None or known.sealed_refresh is None):
        raise LinkRefused("Google gave no lasting permission. Ask for a new link and agree once more.")
    return known


async def _ask(linking: Linking, unit: Unit, row: LinkState, grant: Grant, person: Person) -> Question:
    """Keep what Google gave, sealed, until the person in front of the browser has said that it is meant."""
    token, scopes = secrets.token_urlsafe(48), grant.scopes or tuple(row.scopes)
    pending = {
        "subject": person.subject,
        "account": person.address,
        "access_token": grant.access_token,
        "refresh_token": grant.refresh_token,
        "seconds": grant.seconds,
        "scopes": scopes,
    }
    sealed = linking.vault.seal(json.dumps(pending).encode(), *_place(row))
    values = {"state_hash": secret_hash("confirm", token), "sealed_verifier": sealed, "nonce": ""}
    await unit.links.go_on(row, values, seconds=LINK_SECONDS)
    return Question(Linked(person.address, row.origin["person"], tuple(mail_scopes(scopes))), token)


async def _link(linking: Linking, unit: Unit, row: LinkState, grant: Grant, person: Person) -> Linked:
    known = await _fitting(unit, row, grant, person)
    connection_id = known.id if known else new_id()
    scopes = grant.scopes or tuple(row.scopes)
    await unit.connections.put(
        {
            "id": connection_id,
            "user_id": row.user_id,
            "subject": person.subject,
            "account": person.address,
            "scopes": list(scopes),
            **sealed_tokens(linking.vault, row.workspace_id, connection_id, grant),
        },
        access_seconds=grant.seconds,
    )
    await unit.links.end(row, {"linked": person.address})
    await slack_notices.linked(unit, row.user_id, person.address)
    return Linked(person.address, row.origin["person"], tuple(mail_scopes(scopes)))


def _opened(linking: Linking, row: LinkState) -> str:
    try:
        return linking.vault.open(row.sealed_verifier, *_place(row)).decode()
    except SealBroken as error:
        raise LinkRefused(ONCE_MORE) from error


async def _end(linking: Linking, row: LinkState, outcome: dict[str, Any]) -> None:
    async with linking.database.begin(row.workspace_id) as unit:
        await unit.links.end(row, outcome)


def _place(row: LinkState) -> tuple[str, str, str, str]:
    return seal_place("oauth_states", "sealed_verifier", row.workspace_id, row.id)
