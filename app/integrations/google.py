"""Google's side of linking an account: where people agree, the two token calls, revoking, and who it was."""

import secrets
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import httpx

from app.models.errors import Transient

CALLBACK = "/auth/callback"
CLOCK_SKEW_SECONDS = 60
MOST_CERT_SECONDS = 3600.0
_HEADERS = {"Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class GoogleOptions:
    """The operator's OAuth client, where Google sends people back to, and where Google is."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    authorize_url: str
    token_url: str
    revoke_url: str
    userinfo_url: str
    certs_url: str
    gmail_base_url: str
    seconds: float = 10.0

    @property
    def issuer(self) -> str:
        """Who Google says it is, in its answers (RFC 9207) and its id tokens."""
        parts = urlsplit(self.authorize_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def home(self) -> str:
        """Our own address as Google's answers find it: the browser's cookie holds for this host."""
        return self.redirect_uri.removesuffix(CALLBACK).rstrip("/")


@dataclass(frozen=True, slots=True)
class Grant:
    """What Google gives: a token for `seconds`, and what it opens. `scopes` is None where it was not said again."""

    access_token: str = field(repr=False)
    seconds: int
    refresh_token: str | None = field(repr=False)
    scopes: tuple[str, ...] | None
    id_token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Person:
    """A Google account: `subject` never changes, `address` may."""

    subject: str
    address: str


class GoogleRefused(Exception):
    """Google said no, for good; `code` is its own word for why (RFC 6749 §5.2), such as `invalid_grant`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class GoogleUnavailable(Transient):
    """Google gave no usable answer; it may a moment later."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"Google {detail}.", code="google_unavailable")


@dataclass(frozen=True, slots=True)
class Asking:
    """What stands in the address that a person is sent to Google with. `consent` asks for a lasting permission."""

    state: str
    nonce: str
    challenge: str
    scopes: Sequence[str]
    consent: bool
    hint: str | None = None


def authorize_address(options: GoogleOptions, asking: Asking) -> str:
    """Where the person agrees: authorization code, PKCE with S256, scopes on top of those granted before."""
    query = {
        "response_type": "code",
        "client_id": options.client_id,
        "redirect_uri": options.redirect_uri,
        "scope": " ".join(asking.scopes),
        "state": asking.state,
        "nonce": asking.nonce,
        "code_challenge": asking.challenge,
        "code_challenge_method": "S256",
        "access_type": "offline",
        "include_granted_scopes": "true",
    }
    query |= {"prompt": "consent"} if asking.consent else {}
    query |= {"login_hint": asking.hint} if asking.hint else {}
    joint = "&" if "?" in options.authorize_url else "?"
    return f"{options.authorize_url}{joint}{urlencode(query)}"


async def exchange(options: GoogleOptions, code: str, verifier: str) -> Grant:
    """Trade an authorization code for tokens. Raises GoogleRefused, GoogleUnavailable."""
    return await _tokens(
        options,
        {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": options.redirect_uri,
        },
    )


async def refresh(options: GoogleOptions, refresh_token: str) -> Grant:
    """A new access token. Raises GoogleRefused (`invalid_grant`: the person has to agree again), GoogleUnavailable."""
    return await _tokens(options, {"grant_type": "refresh_token", "refresh_token": refresh_token})


async def revoke(options: GoogleOptions, token: str) -> bool:
    """Withdraw the permission that the token stands for, at Google. Whether Google no longer knows it now."""
    try:
        answer = await _call(options, "POST", options.revoke_url, form={"token": token})
    except GoogleUnavailable:
        return False
    return answer.status_code == 200 or _word(answer) == "invalid_token"


async def person(options: GoogleOptions, grant: Grant, nonce: str) -> Person:
    """Whose tokens these are, from the signed id token that came with them.

    Raises GoogleRefused (`invalid_id_token`, `unverified_email`) and GoogleUnavailable.
    """
    claims = await _claims(options, grant.id_token or "")
    subject, address = str(claims.get("sub") or ""), claims.get("email")
    parties = {options.issuer, urlsplit(options.issuer).netloc}
    sound = claims.get("iss") in parties and claims.get("azp", options.client_id) == options.client_id
    if not (subject and sound and secrets.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode())):
        raise GoogleRefused("invalid_id_token")
    if not address:
        claims = await _userinfo(options, grant.access_token)
        address = claims.get("email") if claims.get("sub") == subject else None
    if not isinstance(address, str) or "@" not in address or claims.get("email_verified") not in (True, "true"):
        raise GoogleRefused("unverified_email")
    return Person(subject, address)


async def _claims(options: GoogleOptions, id_token: str) -> Mapping[str, Any]:
    # Late: only those who link accounts load it.
    from google.auth import exceptions, jwt

    try:
        head: Mapping[str, Any] = jwt.decode_header(id_token)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        certs = await _certs(options, str(head.get("kid")))
        decoded = jwt.decode(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            id_token, certs=certs, audience=options.client_id, clock_skew_in_seconds=CLOCK_SKEW_SECONDS
        )
    except (exceptions.GoogleAuthError, ValueError, TypeError) as error:
        raise GoogleRefused("invalid_id_token") from error
    return cast("Mapping[str, Any]", decoded)


_kept_certs: dict[str, tuple[float, dict[str, str]]] = {}


async def _certs(options: GoogleOptions, key_id: str) -> dict[str, str]:
    """Google's present certificates by key id, kept for as long as it allows."""
    until, certs = _kept_certs.get(options.certs_url, (0.0, dict[str, str]()))
    if time.monotonic() < until and key_id in certs:
        return certs
    answer = await _call(options, "GET", options.certs_url)
    if answer.status_code != 200:
        raise GoogleUnavailable(f"gave no certificates (HTTP {answer.status_code})")
    found = {str(name): str(value) for name, value in _json(answer).items()}
    _kept_certs[options.certs_url] = (time.monotonic() + min(_max_age(answer), MOST_CERT_SECONDS), found)
    return found


def _max_age(answer: httpx.Response) -> float:
    for part in answer.headers.get("cache-control", "").split(","):
        name, _, value = part.strip().partition("=")
        if name == "max-age" and value.isascii() and value.isdigit():
            return float(value[:9])
    return 0.0


async def _userinfo(options: GoogleOptions, access_token: str) -> Mapping[str, Any]:
    answer = await _call(options, "GET", options.userinfo_url, bearer=access_token)
    if answer.status_code != 200:
        raise GoogleUnavailable(f"did not say whose account it is (HTTP {answer.status_code})")
    return _json(answer)


async def _tokens(options: GoogleOptions, form: Mapping[str, str]) -> Grant:
    # The client's secret stands in the body: Google takes it there, and some counterparts only there.
    form = {**form, "client_id": options.client_id, "client_secret": options.client_secret}
    answer = await _call(options, "POST", options.token_url, form=form)
    if answer.status_code != 200:
        raise GoogleRefused(_word(answer) or f"http_{answer.status_code}")
    given = _json(answer)
    token, seconds = given.get("access_token"), given.get("expires_in", 3600)
    if not isinstance(token, str) or not token or not isinstance(seconds, int):
        raise GoogleUnavailable("answered without a token")
    lasting, scope, id_token = (given.get(name) for name in ("refresh_token", "scope", "id_token"))
    return Grant(
        access_token=token,
        seconds=max(0, min(seconds, 86_400)),
        refresh_token=lasting if isinstance(lasting, str) and lasting else None,
        scopes=tuple(scope.split()) if isinstance(scope, str) else None,
        id_token=id_token if isinstance(id_token, str) else None,
    )


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _call(
    options: GoogleOptions, method: str, url: str, *, form: Mapping[str, str] | None = None, bearer: str | None = None
) -> httpx.Response:
    """One call, without redirects and without what the environment says. Raises GoogleUnavailable."""
    headers = _HEADERS | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
    try:
        async with httpx.AsyncClient(verify=_trust(), timeout=options.seconds, trust_env=False) as client:
            answer = await client.request(method, url, data=form, headers=headers)
    except httpx.HTTPError as error:
        raise GoogleUnavailable(f"did not answer ({type(error).__name__})") from error
    if answer.status_code == 429 or answer.status_code >= 500:
        raise GoogleUnavailable(f"answered with HTTP {answer.status_code}")
    return answer


def _json(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        value: Any = answer.json()
    except ValueError as error:
        raise GoogleUnavailable("answered with something that is no JSON") from error
    if not isinstance(value, dict):
        raise GoogleUnavailable("answered with something that is no object")
    return cast("dict[str, Any]", value)


def _word(answer: httpx.Response) -> str:
    """The error's name in an answer, where there is one that can be stored and shown."""
    try:
        word: Any = answer.json().get("error")
    except (ValueError, AttributeError):
        return ""
    return word if isinstance(word, str) and word.isascii() and word.replace("_", "").isalnum() else ""
