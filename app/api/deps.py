"""What routes are given: the runtime, the principal, a unit, an idempotency key."""

import hashlib
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Path, Request, Response

from app.api.callers import credential, is_local_caller
from app.database.unit import Unit
from app.models.errors import AppError, Forbidden, InvalidInput, Unauthorized
from app.models.identity import SCOPES, Principal
from app.runtime import Runtime
from app.services import users
from app.services.idempotency import Once
from app.services.keys import KeyChecker
from app.services.orders import Desk


def runtime_of(request: Request) -> Runtime:
    """The runtime that the application's lifespan opened."""
    return request.app.state.runtime


def key_checker(request: Request) -> KeyChecker:
    """The process' checker of API keys."""
    state = request.app.state
    checker: KeyChecker | None = getattr(state, "key_checker", None)
    if checker is None:
        runtime = runtime_of(request)
        checker = state.key_checker = KeyChecker(runtime.database, runtime.peppers)
    return checker


async def authenticate(request: Request) -> Principal:
    """Who asks. Asked once per request, before the body is read.

    Raises Unauthorized without a credential that holds, BadRequest for two of them.
    """
    known: Principal | None = request.scope.get("sixlane.principal")
    if known is None:
        token = credential(request.headers)
        known = await _keyless(request) if token is None else await key_checker(request).principal(token)
        request.scope["sixlane.principal"] = known
    return known


def is_known(request: Request) -> bool:
    """Whether the request carries a key that was good a moment ago; asks nobody."""
    try:
        token = credential(request.headers)
    except AppError:
        return False
    return token is not None and key_checker(request).known(token) is not None


async def _keyless(request: Request) -> Principal:
    """The owner of the machine, in local mode and at the machine only."""
    if runtime_of(request).settings.env != "local" or not is_local_caller(request.scope):
        raise Unauthorized
    state = request.app.state
    owner: Principal | None = getattr(state, "local_owner", None)
    if owner is None:
        owner = state.local_owner = await users.local_owner(runtime_of(request).database)
    return owner


class Requires:
    """The scope that a route asks for; calling it gives the principal or refuses."""

    def __init__(self, scope: str) -> None:
        assert scope in SCOPES, f"{scope} is no scope"
        self.scope = scope

    async def __call__(self, request: Request) -> Principal:
        """The principal, if it holds the scope. Raises Unauthorized, Forbidden."""
        principal = await authenticate(request)
        if not principal.may(self.scope):
            raise Forbidden(
                f"This needs the scope {self.scope}.", code="missing_scope", extra={"required_scope": self.scope}
            )
        return principal


class AnyScope:
    """Marks a route for every principal, whatever its scopes."""

    async def __call__(self, request: Request) -> Principal:
        """The principal. Raises Unauthorized."""
        return await authenticate(request)


class Keyless:
    """Marks a route that answers without a key: in production to everyone, in local mode at the machine only.

    Through a tunnel to local mode a key is asked for, except where `anywhere` is set. Requests count against the
    limit of their sender's address unless `counted` is off: for probes, and for doors that count by themselves.
    """

    def __init__(self, *, anywhere: bool = False, counted: bool = True) -> None:
        self.anywhere = anywhere
        self.counted = counted

    async def __call__(self, request: Request) -> None:
        """Pass. Raises Unauthorized through a tunnel."""
        if self.anywhere or runtime_of(request).settings.env == "production" or is_local_caller(request.scope):
            return
        await authenticate(request)


def requires(scope: str) -> Requires:
    """The dependency of a route on a scope."""
    return Requires(scope)


async def _unit(request: Request) -> AsyncIterator[Unit]:
    principal = await authenticate(request)
    async with runtime_of(request).database.begin(principal.workspace_id) as unit:
        yield unit


async def _runtime(request: Request) -> Runtime:
    # Not `runtime_of` itself: dependencies that are no coroutines are carried to a thread and back.
    return runtime_of(request)


async def desk_of(request: Request) -> Desk:
    """What turns wishes into orders."""
    runtime = runtime_of(request)
    settings = runtime.settings
    return Desk(
        runtime.works.registry,
        runtime.works.models,
        runtime.guard,
        runtime.vault,
        max_attempts=settings.runs.max_attempts,
        min_seconds=settings.schedules.min_seconds,
        production=settings.production,
        base_url=base_url(request),
        context_bytes=settings.server.max_context_bytes,
    )


def base_url(request: Request) -> str:
    """Where this server is reached: as the operator says, else as this caller did."""
    return (runtime_of(request).settings.server.public_url or str(request.base_url)).rstrip("/")


async def _base_url(request: Request) -> str:
    return base_url(request)


async def given_key(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            max_length=255,
            min_length=1,
            description="Makes the request safe to repeat for 24 hours: the same key and body give the same object.",
        ),
    ] = None,
) -> str | None:
    """The Idempotency-Key of a creating request. Raises InvalidInput for one that cannot be kept."""
    if idempotency_key is None:
        return None
    if len(request.headers.getlist("idempotency-key")) > 1 or not idempotency_key.strip():
        raise InvalidInput("header.idempotency-key: give one key of 1 to 255 characters.")
    if not (idempotency_key.isascii() and idempotency_key.isprintable()):
        raise InvalidInput("header.idempotency-key: use printable ASCII characters.")
    return idempotency_key


async def once_of(request: Request, key: Annotated[str | None, Depends(given_key)]) -> Once | None:
    """The Idempotency-Key of a creating request, with its route and the hash of its body."""
    if key is None:
        return None
    principal = await authenticate(request)
    digest = hashlib.sha256(await request.body()).digest()
    return Once(principal, f"{request.method} {request.url.path}", key, digest)


RuntimeDep = Annotated[Runtime, Depends(_runtime)]
UnitDep = Annotated[Unit, Depends(_unit, scope="function")]
DeskDep = Annotated[Desk, Depends(desk_of)]
BaseUrl = Annotated[str, Depends(_base_url)]
OnceDep = Annotated[Once | None, Depends(once_of)]
KeyDep = Annotated[str | None, Depends(given_key)]
ObjectId = Annotated[UUID, Path(description="The object's id.")]

ReadConversations = Annotated[Principal, Depends(requires("conversations:read"))]
WriteConversations = Annotated[Principal, Depends(requires("conversations:write"))]
ReadTasks = Annotated[Principal, Depends(requires("tasks:read"))]
WriteTasks = Annotated[Principal, Depends(requires("tasks:write"))]
RunTasks = Annotated[Principal, Depends(requires("tasks:run"))]
WriteAgents = Annotated[Principal, Depends(requires("agents:write"))]
ReadRuns = Annotated[Principal, Depends(requires("runs:read"))]
CancelRuns = Annotated[Principal, Depends(requires("runs:cancel"))]
ReadFiles = Annotated[Principal, Depends(requires("files:read"))]
WriteFiles = Annotated[Principal, Depends(requires("files:write"))]
ReadApprovals = Annotated[Principal, Depends(requires("approvals:read"))]
DecideApprovals = Annotated[Principal, Depends(requires("approvals:decide"))]
ManageConnections = Annotated[Principal, Depends(requires("connections:manage"))]
ManageKeys = Annotated[Principal, Depends(requires("keys:manage"))]
Anyone = Annotated[Principal, Depends(AnyScope())]
Probe = Annotated[None, Depends(Keyless(anywhere=True, counted=False))]
Readiness = Annotated[None, Depends(Keyless(counted=False))]
OpenDoor = Annotated[None, Depends(Keyless())]


def mark(response: Response, location: str, *, replayed: bool) -> None:
    """Say where the new object is, and whether an earlier request with the same Idempotency-Key had made it."""
    response.headers["Location"] = location
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
