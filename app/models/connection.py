"""Linked Google accounts: rows, wire shapes, what may be done with one, and what is said when there is none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import AfterValidator, Field

from app.models.errors import AppError, BadRequest
from app.models.notification import bare_address
from app.models.wire import ExternalUserId, Inbound, Outbound

GOOGLE = "google"
Status = Literal["active", "reconnect_needed", "revoked"]
MailScope = Literal["read", "draft", "send", "label"]
MAIL_SCOPES: tuple[MailScope, ...] = get_args(MailScope)
USUAL_SCOPES: tuple[MailScope, ...] = ("read", "draft", "send")

_GMAIL = "https://www.googleapis.com/auth/gmail."
_ALL = "https://mail.google.com/"
_ASKED: Mapping[MailScope, tuple[str, ...]] = {
    "read": (f"{_GMAIL}readonly",),
    "draft": (f"{_GMAIL}compose",),
    # A send is a draft that is sent, and is looked for before it is repeated; gmail.send allows neither.
    "send": (f"{_GMAIL}compose", f"{_GMAIL}readonly"),
    "label": (f"{_GMAIL}modify",),
}
_OPENED_BY: Mapping[MailScope, frozenset[str]] = {
    "read": frozenset({_ALL, f"{_GMAIL}modify", f"{_GMAIL}readonly"}),
    "draft": frozenset({_ALL, f"{_GMAIL}modify", f"{_GMAIL}compose"}),
    "send": frozenset({_ALL, f"{_GMAIL}modify", f"{_GMAIL}compose"}),
    "label": frozenset({_ALL, f"{_GMAIL}modify"}),
}


def google_scopes(wanted: Iterable[MailScope]) -> tuple[str, ...]:
    """What Google is asked for, so that these things can be done; who it is, is always asked."""
    return ("openid", "email", *dict.fromkeys(scope for one in wanted for scope in _ASKED[one]))


def mail_scopes(granted: Iterable[str]) -> list[MailScope]:
    """What can be done with the scopes that Google granted."""
    there = frozenset(granted)
    can: list[MailScope] = [one for one in MAIL_SCOPES if there & _OPENED_BY[one]]
    return [one for one in can if one != "send" or "read" in can]


@dataclass(frozen=True, slots=True)
class Connection:
    """A person's linked account. `account` is its address, `subject` the id that never changes there.

    `scopes` are the ones that the provider granted, in its own words. `version` moves with every change of the
    tokens; `refreshing_until` holds them for the one that refreshes them.
    """

    workspace_id: UUID
    id: UUID
    user_id: UUID
    provider: str
    subject: str
    account: str
    scopes: list[str]
    status: Status
    status_reason: str | None
    sealed_refresh: bytes | None = field(repr=False)
    sealed_access: bytes | None = field(repr=False)
    access_expires_at: datetime | None
    version: int
    refreshing_until: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class LinkState:
    """A link on its way, through its phases: a ticket that nobody has opened, the way to Google, and a last question.

    Each phase has a secret of its own, kept as a hash, that holds once.
    """

    workspace_id: UUID
    id: UUID
    user_id: UUID
    provider: str
    state_hash: bytes = field(repr=False)
    browser_hash: bytes | None = field(repr=False)
    sealed_verifier: bytes = field(repr=False)
    nonce: str = field(repr=False)
    scopes: list[str]
    origin: dict[str, Any]
    expires_at: datetime
    used_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Ticket:
    """A link that a person opens in a browser to connect an account; it opens once."""

    state_id: UUID
    url: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """A token that opens the account now. Hand it back to `invalidate` when the provider refuses it."""

    value: str = field(repr=False)
    account: str
    connection_id: UUID
    version: int


class NotConnected(AppError):
    """The person has no Google account linked, or has not allowed this; `missing` says what."""

    status = 409
    code = "not_connected"
    title = "Not connected"

    def __init__(self, missing: Iterable[MailScope], *, account: str | None = None) -> None:
        self.missing: tuple[MailScope, ...] = tuple(missing)
        self.account = account
        what = " and ".join(self.missing) or "read"
        detail = (
            f"{account} is connected, but not allowed to {what} mail. Connect it again and allow that."
            if account
            else "No Google account is connected. Connect one to let agents work with its mail."
        )
        super().__init__(detail, extra={"missing": list(self.missing), "connect": "/connections/google/start"})


class ReconnectNeeded(AppError):
    """Google does not accept the stored permission any more; it has been deleted here."""

    status = 409
    code = "reconnect_needed"
    title = "Reconnect needed"

    def __init__(self, account: str) -> None:
        self.account = account
        detail = f"Google lets us use {account} no more: the permission was withdrawn or ran out. Connect it again."
        super().__init__(detail, extra={"connect": "/connections/google/start"})


class LinkRefused(BadRequest):
    """An account was not linked; the sentence is for the person in front of the browser."""

    code = "link_refused"


@dataclass(frozen=True, slots=True)
class Departure:
    """On to Google, with a cookie that only this browser has."""

    url: str = field(repr=False)
    cookie: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Linked:
    """The account is linked: agents that work for `person` can do this with its mail."""

    account: str
    person: str
    scopes: tuple[MailScope, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Before an account is linked, whoever holds the browser is asked whether this is meant."""

    linked: Linked
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Declined:
    """The person said no; nothing was linked."""

    person: str


Account = Annotated[str, Field(max_length=254), AfterValidator(bare_address)]


class ConnectIn(Inbound):
    """What an agent shall be able to do with whose mail. With `account`, only that Google address can be connected."""

    scopes: Annotated[list[MailScope], Field(min_length=1, max_length=4)] = Field(
        default_factory=lambda: list(USUAL_SCOPES), examples=[["read", "draft", "send"]]
    )
    user_id: ExternalUserId | None = Field(default=None, examples=[None])
    account: Account | None = Field(default=None, examples=["user@example.com"])


class ConnectOut(Outbound):
    """The address to open in the person's browser. It opens once, until `expires_at`."""

    authorize_url: str
    expires_at: datetime


class ConnectionOut(Outbound):
    """A linked account, without its tokens. `scopes` is what agents can do with its mail."""

    id: UUID
    provider: Literal["google"]
    user_id: str = Field(examples=["owner"])
    account: str = Field(examples=["user@example.com"])
    status: Status
    status_reason: str | None
    scopes: list[MailScope]
    created_at: datetime
    updated_at: datetime


class GoogleStatusOut(Outbound):
    """Whether Google can be connected here, and what the person's connection is like, if there is one."""

    configured: bool
    connected: bool
    connection: ConnectionOut | None
