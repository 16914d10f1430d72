"""A user's own Gmail account: requests under a token that is fresh, and what Google's refusals mean."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.agents.mail import MailProblem, TooComplex
from app.database.connection import Database
from app.integrations.gmail import Gmail, GmailError, Request
from app.integrations.google import GoogleOptions
from app.integrations.vault import Vault
from app.models.connection import MailScope, NotConnected, Token
from app.models.errors import Transient
from app.services import connections

KEPT_SECONDS = 3.0
"""A token that was taken away is used no longer than this; Google refuses it anyway."""

_BUSY = ("rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded", "backendError")
_NOT_ALLOWED = ("insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "PERMISSION_DENIED")


class Gone(MailProblem):
    """What was asked for is not in the mailbox."""

    def __init__(self) -> None:
        super().__init__("There is no such mail or draft in the mailbox.")


@dataclass(frozen=True, slots=True)
class Google:
    """What every account of a process shares. `gmail` is None where Google is not set up."""

    database: Database
    vault: Vault
    options: GoogleOptions | None
    gmail: Gmail | None


class Account:
    """The account that one user has connected. Nobody names it: it follows from the user."""

    def __init__(self, google: Google, workspace_id: UUID, user_id: UUID) -> None:
        self._google = google
        self._workspace_id = workspace_id
        self._user_id = user_id
        self._kept: dict[tuple[MailScope, ...], tuple[Token, float]] = {}

    async def token(self, scopes: Sequence[MailScope]) -> Token:
        """A token that opens the account for these things. Raises as `connections.access_token` does.

        It is kept for some seconds, so that the many requests of one search ask the ledger once.
        """
        here, wanted = self._google, tuple(scopes)
        token, until = self._kept.get(wanted, (None, 0.0))
        if token is None or until < time.monotonic():
            token = await connections.access_token(
                here.database, here.vault, here.options, self._workspace_id, self._user_id, scopes
            )
            self._kept[wanted] = (token, time.monotonic() + KEPT_SECONDS)
        return token

    async def call(self, scopes: Sequence[MailScope], request: Request) -> dict[str, Any]:
        """Carry out a request. A token that Google refuses is replaced, once.

        Raises MailProblem (Gone, TooComplex), NotConnected, ReconnectNeeded, and Transient for what may work later.
        """
        try:
            return await self._once(scopes, request)
        except _Refused as refused:
            self._kept.clear()
            await connections.invalidate(self._google.database, self._workspace_id, refused.token)
        try:
            return await self._once(scopes, request)
        except _Refused as refused:
            raise Transient("Google refused a token that it had just given.", code="google_unauthorized") from refused

    async def _once(self, scopes: Sequence[MailScope], request: Request) -> dict[str, Any]:
        token = await self.token(scopes)
        assert self._google.gmail is not None, "there are tokens only where Google is set up"
        try:
            return await self._google.gmail.call(token.value, request)
        except GmailError as error:
            if error.status == 401:
                raise _Refused(token) from error
            raise _meaning(error, scopes, token.account) from error


class _Refused(Exception):
    def __init__(self, token: Token) -> None:
        super().__init__()
        self.token = token


def _meaning(error: GmailError, scopes: Sequence[MailScope], account: str) -> Exception:
    if error.too_large:
        return TooComplex()
    if error.status in (404, 410):
        return Gone()
    if error.status is None:
        return Transient(error.detail, code="google_unreachable")
    if error.status in (408, 429) or error.status >= 500 or error.reason in _BUSY:
        return Transient(f"Gmail: {error.detail}", code="google_unavailable", retry_after=error.retry_after)
    if error.status == 403 and error.reason in _NOT_ALLOWED:
        return NotConnected(scopes, account=account)
    return MailProblem(f"Gmail refused this: {error.detail}")
