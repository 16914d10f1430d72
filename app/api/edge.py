"""The outermost layer: request ids, host names, hostile bytes, one log line and one metric for every request."""

import re
import time
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.callers import host_name, known_hosts
from app.api.problems import from_app_error, unexpected
from app.api.rates import rate_headers
from app.integrations.metrics import Metrics
from app.models.errors import AppError, BadRequest, InvalidInput, Misdirected, Unauthorized

PROBES = frozenset({"/health/live", "/health/ready"})
_SECRET_PATHS = ("/approvals/link/",)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:@+=/-]{1,128}")

log = structlog.get_logger("sixlane.http")


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """What the edge has to know of the settings. `local` mode answers only to its own host names."""

    local: bool = True
    public_url: str | None = None
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 1024 * 1024


class Edge:
    """ASGI middleware around everything else; the last place where an exception can become an answer."""

    def __init__(self, app: ASGIApp, *, options: EdgeOptions, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._hosts = known_hosts(options.public_url) if options.local else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = given_request_id(scope) or uuid4().hex
        scope["sixlane.request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        answer = _Answer(scope, send, request_id, started)
        try:
            await self._serve(scope, receive, answer)
        finally:
            self._record(scope, answer)

    async def _serve(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            refusal = self._refusal(scope)
            if refusal is None:
                await self._app(scope, receive, answer.send)
            else:
                await from_app_error(scope, refusal)(scope, receive, answer.send)
        except Exception:
            log.exception("request_broke", method=scope["method"], path=_told(scope["path"]))
            if answer.status:
                raise
            await unexpected(scope)(scope, receive, answer.send)

    def _refusal(self, scope: Scope) -> AppError | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) > 1:
            return BadRequest("The request names more than one host.")
        if _hostile(scope.get("raw_path") or b"") or _hostile(scope["query_string"]):
            return InvalidInput("The address holds NUL or is not UTF-8.", code="invalid_text")
        if any(b"\x00" in value for _, value in headers):
            return InvalidInput("A header holds NUL.", code="invalid_text")
        return self._misdirected(scope, hosts)

    def _misdirected(self, scope: Scope, hosts: list[bytes]) -> AppError | None:
        if self._hosts is None or scope["path"] in PROBES:
            return None
        if hosts and host_name(hosts[0].decode("latin-1")) in self._hosts:
            return None
        if not any(name in (b"authorization", b"x-api-key") for name, _ in scope["headers"]):
            return Unauthorized()
        return Misdirected(
            "This server does not answer to that host name; set PUBLIC_URL to the address it is reached by."
        )

    def _record(self, scope: Scope, answer: "_Answer") -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.request(scope["method"], route, answer.status, answer.seconds)
        log.info(
            "request",
            method=scope["method"],
            path=_told(scope["path"]),
            status=answer.status,
            ms=round((time.perf_counter() - answer.started) * 1000, 1),
        )


class _Answer:
    """Passes the answer on, adds our headers and remembers how it went."""

    __slots__ = ("_scope", "_send", "request_id", "seconds", "started", "status")

    def __init__(self, scope: Scope, send: Send, request_id: str, started: float) -> None:
        self._scope = scope
        self._send = send
        self.request_id = request_id
        self.started = started
        self.status = 0
        self.seconds = 0.0

    async def send(self, message: Message) -> None:
        """Forward one ASGI message."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.seconds = time.perf_counter() - self.started
            headers: list[tuple[bytes, bytes]] = list(message["headers"])
            headers.append((b"x-request-id", self.request_id.encode()))
            headers.append((b"x-content-type-options", b"nosniff"))
            headers += rate_headers(self._scope)
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await self._send(message)


def given_request_id(scope: Scope) -> str | None:
    """The caller's X-Request-ID, if it is one that can be logged and returned."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value.decode() if _REQUEST_ID.fullmatch(value) else None
    return None


def _told(path: str) -> str:
    """The path as the log may have it: what stands behind these is a secret that decides something."""
    return next((f"{door}…" for door in _SECRET_PATHS if path.startswith(door)), path)


def _hostile(quoted: bytes) -> bool:
    """Whether the percent-encoded bytes stand for NUL or for something that is not UTF-8."""
    if b"%" not in quoted and quoted.isascii():
        return b"\x00" in quoted
    plain = unquote_to_bytes(quoted)
    if b"\x00" in plain:
        return True
    try:
        plain.decode()
    except UnicodeDecodeError:
        return True
    return False
