"""Who acts, for whom, with which scopes; workspaces, users and API keys."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from app.models.wire import ExternalUserId, Inbound, Outbound

PrincipalKind = Literal["local", "api_key", "slack", "system"]

SCOPES = (
    "conversations:read",
    "conversations:write",
    "tasks:read",
    "tasks:write",
    "tasks:run",
    "agents:write",
    "runs:read",
    "runs:cancel",
    "files:read",
    "files:write",
    "approvals:read",
    "approvals:decide",
    "connections:manage",
    "keys:manage",
    "users:act_as",
)
"""Every scope a key can carry; a door declares the one that it needs."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts (`kind`, `id`) in which workspace, for which user, with which scopes.

    `user_id` is the user that the credential itself belongs to. A door that lets the client name another person
    resolves that person with `services.users.subject` first.
    """

    kind: PrincipalKind
    id: str
    workspace_id: UUID
    user_id: UUID
    scopes: frozenset[str]
    bound_to_user: bool = False

    def may(self, scope: str) -> bool:
        """Whether this principal holds the scope."""
        return scope in self.scopes


@dataclass(frozen=True, slots=True)
class Workspace:
    """The tenant."""

    id: UUID
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """A person of a workspace, known by the client's own id (`external_id`)."""

    workspace_id: UUID
    id: UUID
    external_id: str
    is_owner: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret; `user_id` and `user_bound` say whom it stands for."""

    workspace_id: UUID
    id: UUID
    user_id: UUID
    user_bound: bool
    name: str
    prefix: str
    secret_hash: bytes
    scopes: list[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


Scope = Literal[
    "conversations:read",
    "conversations:write",
    "tasks:read",
    "tasks:write",
    "tasks:run",
    "agents:write",
    "runs:read",
    "runs:cancel",
    "files:read",
    "files:write",
    "approvals:read",
    "approvals:decide",
    "connections:manage",
    "keys:manage",
    "users:act_as",
]


class KeyCreate(Inbound):
    """A new API key. Without `scopes` it gets what its maker holds, but neither a `…:manage` nor `users:act_as`.

    With `user_id` the key stands for that person and for nobody else.
    """

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(examples=["ci"])
    scopes: Annotated[list[Scope], Field(max_length=50)] | None = Field(default=None, examples=[["runs:read"]])
    user_id: ExternalUserId | None = Field(default=None, examples=[None])
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = Field(default=90, examples=[90])


class KeyOut(Outbound):
    """An API key without its secret."""

    id: UUID
    name: str = Field(examples=["ci"])
    prefix: str = Field(examples=["sl_abcdefghijklmnopqrstuvwxyz"])
    scopes: list[str]
    user_id: str = Field(examples=["owner"])
    user_bound: bool
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


class KeyCreated(KeyOut):
    """A new API key with its secret, shown this once; null when a request is repeated."""

    key: str | None
