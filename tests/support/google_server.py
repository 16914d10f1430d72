"""Google's accounts on loopback: an OAuth server that is strict where Google is, and knows whose every token is.

A browser is signed in with `GET /_sign_in?account=…` and goes to `/authorize` as it would. What the person does there
is decided before: `google.will(account, …)`. Codes hold once; tokens run out, are withdrawn, and break on demand.
A mailbox server for the same tokens is mounted with `google.mount(prefix, app)`; it asks `google.whose(token)`.
"""

import asyncio
import base64
import hashlib
import secrets
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from support.google_wire import cookies, pairs, plain, send_json, signed_token, signer
from support.loopback import in_thread
from support.request_log import read_body

from app.integrations.google import Grant

CLIENT_ID, CLIENT_SECRET = "sixlane.apps.example", "GOCSPX-a-secret-of-the-test"
IDENTITY = frozenset({"openid", "email"})


@dataclass(frozen=True)
class Manners:
    """What a person does at the consent page, and what Google does then."""

    deny: bool = False
    untick: frozenset[str] = frozenset()
    lasting: bool = True
    verified: bool = True
    nonce: str | None = None
    foreign_key: bool = False
    seconds: int = 3600
    claims: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass
class Consent:
    """A permission that a person has given this client, with everything that hangs on it."""

    account: str
    scopes: set[str]
    refresh_tokens: set[str] = field(default_factory=set[str])


@dataclass(frozen=True)
class Code:
    """An authorization code that waits to be traded in."""

    account: str
    scopes: frozenset[str]
    challenge: str
    redirect_uri: str
    nonce: str
    lasting: bool


@dataclass
class Access:
    """An access token: whose, what for, until when (monotonic)."""

    account: str
    scopes: frozenset[str]
    until: float


class _No(Exception):
    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


class GoogleServer:
    """The ASGI application, and the test's own view of it. Tests speak to it from another thread."""

    def __init__(self) -> None:
        self.url = ""
        self.redirect_uri = "http://localhost/auth/callback"
        self.counts: Counter[str] = Counter()
        self.faults: list[Any] = []
        self.rotates = False
        self.delay = 0.0
        self.said_issuer: str | None = None
        self._lock = threading.RLock()
        self._manners: dict[str, Manners] = {}
        self._consents: dict[str, Consent] = {}
        self._codes: dict[str, Code] = {}
        self._spent: dict[str, str] = {}
        self._access: dict[str, Access] = {}
        self._mounts: dict[str, Any] = {}
        self._key, self._certificate = signer("google")
        self._other_key, _ = signer("somebody else")

    def variables(self) -> dict[str, str]:
        """The settings that point at this server."""
        return {
            "GOOGLE_CLIENT_ID": CLIENT_ID,
            "GOOGLE_CLIENT_SECRET": CLIENT_SECRET,
            "GOOGLE_REDIRECT_URI": self.redirect_uri,
            "GOOGLE_OAUTH_AUTHORIZE_URL": f"{self.url}/authorize",
            "GOOGLE_OAUTH_TOKEN_URL": f"{self.url}/token",
            "GOOGLE_OAUTH_REVOKE_URL": f"{self.url}/revoke",
            "GOOGLE_OAUTH_USERINFO_URL": f"{self.url}/userinfo",
            "GOOGLE_OAUTH_CERTS_URL": f"{self.url}/certs",
            "GMAIL_API_BASE_URL": self.url,
        }

    def mount(self, prefix: str, app: Any) -> None:
        """Serve another application below a path."""
        self._mounts[prefix] = app

    def will(self, account: str, **manners: Any) -> None:
        """Decide what this person does at the consent page from now on."""
        with self._lock:
            self._manners[account] = replace(Manners(), **manners)

    def give(self, account: str, scopes: Iterable[str]) -> Grant:
        """A permission that was given earlier: tokens, without a browser."""
        with self._lock:
            consent = self._consents.setdefault(account, Consent(account, set()))
            consent.scopes |= set(scopes)
            given = self._issue(account, frozenset(consent.scopes))
            return Grant(given["access_token"], 3600, self._lasting(account), tuple(sorted(consent.scopes)), None)

    def whose(self, token: str) -> Access | None:
        """Whose access token this is, if it opens anything now."""
        with self._lock:
            found = self._access.get(token)
            return found if found and found.until > time.monotonic() else None

    def refresh_tokens(self, account: str) -> set[str]:
        """The refresh tokens that are good for an account."""
        with self._lock:
            return set(self._consents[account].refresh_tokens) if account in self._consents else set()

    def expire(self) -> None:
        """Let every access token run out now."""
        with self._lock:
            for access in self._access.values():
                access.until = 0.0

    def withdraw(self, account: str) -> None:
        """The person withdraws the permission in their account."""
        with self._lock:
            self._consents.pop(account, None)
            self._access = {t: a for t, a in self._access.items() if a.account != account}

    def fail(self, *faults: Any) -> None:
        """The next token calls go wrong: a status, or seconds to stay silent as a float."""
        self.faults.extend(faults)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path: str = scope["path"]
        for prefix, app in self._mounts.items():
            if path.startswith(prefix):
                await app(scope, receive, send)
                return
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = pairs(scope["query_string"].decode())
        body = pairs((await read_body(receive)).decode()) if scope["method"] == "POST" else {}
        with self._lock:
            self.counts[path] += 1
        try:
            if path == "/token":
                await self._trouble()
            await self._answer(send, path, headers, query, body)
        except _No as no:
            await send_json(send, no.status, {"error": no.error, "error_description": "no"})

    async def _trouble(self) -> None:
        fault = self.faults.pop(0) if self.faults else self.delay
        if isinstance(fault, int):
            raise _No(fault, "backend_error")
        await asyncio.sleep(fault)

    async def _answer(
        self, send: Any, path: str, headers: dict[str, str], query: dict[str, str], body: dict[str, str]
    ) -> None:
        if path == "/_sign_in":
            await plain(send, 200, [("set-cookie", f"account={query['account']}; Path=/; HttpOnly")])
        elif path == "/authorize":
            await plain(send, 302, [("location", self._authorize(headers, query))])
        elif path == "/token":
            await send_json(send, 200, self._token(headers, body))
        elif path == "/revoke":
            self._revoke(body)
            await send_json(send, 200, {})
        elif path == "/userinfo":
            await send_json(send, 200, self._userinfo(headers))
        elif path == "/certs":
            await send_json(send, 200, {"key-1": self._certificate}, [("cache-control", "public, max-age=60")])
        else:
            raise _No(404, "not_found")

    def _authorize(self, headers: dict[str, str], query: dict[str, str]) -> str:
        account = dict(cookies(headers)).get("account")
        if account is None:
            raise _No(401, "not_signed_in")
        if query.get("client_id") != CLIENT_ID or query.get("redirect_uri") != self.redirect_uri:
            raise _No(400, "redirect_uri_mismatch")
        wanted = frozenset(query.get("scope", "").split())
        sound = query.get("response_type") == "code" and query.get("code_challenge_method") == "S256"
        if not (sound and len(query.get("code_challenge", "")) == 43 and query.get("state") and query.get("nonce")):
            raise _No(400, "invalid_request")
        if not wanted >= IDENTITY:
            raise _No(400, "invalid_scope")
        with self._lock:
            return self._decided(account, wanted, query)

    def _decided(self, account: str, wanted: frozenset[str], query: dict[str, str]) -> str:
        manners = self._manners.get(account, Manners())
        back = {"state": query["state"], "iss": self.said_issuer or self.url}
        if manners.deny:
            return f"{self.redirect_uri}?{urlencode({**back, 'error': 'access_denied'})}"
        known = self._consents.get(account)
        consented = known is None or query.get("prompt") == "consent"
        consent = self._consents.setdefault(account, Consent(account, set()))
        granted = set(wanted - manners.untick)
        consent.scopes = (consent.scopes | granted) if query.get("include_granted_scopes") == "true" else granted
        code = f"4/{secrets.token_urlsafe(24)}"
        self._codes[code] = Code(
            account=account,
            scopes=frozenset(consent.scopes),
            challenge=query["code_challenge"],
            redirect_uri=query["redirect_uri"],
            nonce=manners.nonce or query["nonce"],
            lasting=query.get("access_type") == "offline" and consented and manners.lasting,
        )
        return f"{self.redirect_uri}?{urlencode({**back, 'code': code, 'scope': ' '.join(sorted(consent.scopes))})}"

    def _token(self, headers: dict[str, str], body: dict[str, str]) -> dict[str, Any]:
        if "authorization" in headers or body.get("client_id") != CLIENT_ID:
            raise _No(401, "invalid_client")
        if body.get("client_secret") != CLIENT_SECRET:
            raise _No(401, "invalid_client")
        with self._lock:
            self.counts[str(body.get("grant_type"))] += 1
            if body.get("grant_type") == "authorization_code":
                return self._trade(body)
            if body.get("grant_type") == "refresh_token":
                return self._refresh(body)
        raise _No(400, "unsupported_grant_type")

    def _trade(self, body: dict[str, str]) -> dict[str, Any]:
        given = body.get("code", "")
        if given in self._spent:
            self.withdraw(self._spent[given])  # as RFC 6749 §4.1.2 asks: it may have been stolen
            raise _No(400, "invalid_grant")
        code = self._codes.pop(given, None)
        if code is None or body.get("redirect_uri") != code.redirect_uri:
            raise _No(400, "invalid_grant")
        self._spent[given] = code.account
        digest = hashlib.sha256(body.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != code.challenge:
            raise _No(400, "invalid_grant")
        given_back = self._issue(code.account, code.scopes)
        if code.lasting:
            given_back["refresh_token"] = self._lasting(code.account)
        given_back["id_token"] = self._id_token(code)
        return given_back

    def _refresh(self, body: dict[str, str]) -> dict[str, Any]:
        token = body.get("refresh_token", "")
        consent = next((c for c in self._consents.values() if token in c.refresh_tokens), None)
        if consent is None:
            raise _No(400, "invalid_grant")
        given_back = self._issue(consent.account, frozenset(consent.scopes))
        if self.rotates:
            consent.refresh_tokens.discard(token)
            given_back["refresh_token"] = self._lasting(consent.account)
        return given_back

    def _issue(self, account: str, scopes: frozenset[str]) -> dict[str, Any]:
        token, seconds = f"ya29.{secrets.token_urlsafe(24)}", self._manners.get(account, Manners()).seconds
        self._access[token] = Access(account, scopes, time.monotonic() + seconds)
        return {
            "access_token": token,
            "expires_in": seconds,
            "scope": " ".join(sorted(scopes)),
            "token_type": "Bearer",
        }

    def _lasting(self, account: str) -> str:
        token = f"1//{secrets.token_urlsafe(24)}"
        self._consents[account].refresh_tokens.add(token)
        return token

    def _id_token(self, code: Code) -> str:
        manners, now = self._manners.get(code.account, Manners()), int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "azp": CLIENT_ID,
            "sub": subject_of(code.account),
            "email": code.account,
            "email_verified": manners.verified,
            "nonce": code.nonce,
            "iat": now,
            "exp": now + 3600,
            **manners.claims,
        }
        return signed_token(claims, self._other_key if manners.foreign_key else self._key)

    def _revoke(self, body: dict[str, str]) -> None:
        token = body.get("token", "")
        with self._lock:
            access = self._access.get(token)
            account = access.account if access else None
            for consent in self._consents.values():
                account = consent.account if token in consent.refresh_tokens else account
            if account is None:
                raise _No(400, "invalid_token")
            self.withdraw(account)

    def _userinfo(self, headers: dict[str, str]) -> dict[str, Any]:
        access = self.whose(headers.get("authorization", "").removeprefix("Bearer "))
        if access is None:
            raise _No(401, "invalid_token")
        return {"sub": subject_of(access.account), "email": access.account, "email_verified": True}


def subject_of(account: str) -> str:
    """The id that Google has for an account."""
    return str(int.from_bytes(hashlib.sha256(account.encode()).digest()[:8], "big"))


@contextmanager
def google_server() -> Generator[GoogleServer]:
    """The server in a thread of this process."""
    server = GoogleServer()
    with in_thread(server) as url:
        server.url = url
        yield server
