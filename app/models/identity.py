"""Who acts, for whom, with which scopes; workspaces, users and API keys."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

PrincipalKind = Literal["local", "api_key", "system"]

SCOPES = (
    "conversations:read",
    "conversations:write",
    "tasks:read",
    "tasks:write",
    "tasks:run",
    "runs:read",
    "runs:cancel",
    "approvals:read",
    "approvals:decide",
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
