"""What a tool may know and reach while it runs: the dependencies of an agent's run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from app.integrations.http import OutboundResponse

Policy = Literal["allow", "ask", "deny"]
"""Whether a tool call starts at once, waits for a person, or never starts."""


class NoteStore(Protocol):
    """The notes of the run's user, behind the tools `remember`, `recall` and `forget`."""

    async def remember(self, key: str, text: str) -> None:
        """Keep the text under the key; a note that has the key already is replaced."""
        ...

    async def recall(self, query: str) -> list[dict[str, Any]]:
        """Notes whose key or text holds a word of the query, best first, as `{key, text, updated_at}`.

        An empty query gives the newest ones.
        """
        ...

    async def forget(self, key: str) -> bool:
        """Remove the note; false when there is none."""
        ...


class Outbound(Protocol):
    """Requests to addresses that users or models chose; `OutboundGuard` is the one that is used."""

    def listed(self, host: str) -> bool:
        """Whether the operator has listed this host in OUTBOUND_ALLOW_HOSTS."""
        ...

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        seconds: float = 15.0,
        max_bytes: int = 1_000_000,
        redirects: int = 0,
    ) -> OutboundResponse:
        """See `OutboundGuard.request`."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """An address that a person named for effects. The model chooses among the names, never an address.

    `approval` says whether a call waits for a person; `idempotent` that the far end honours `Idempotency-Key`,
    so that a call whose outcome is unknown may be sent again.
    """

    name: str
    url: str
    approval: Policy = "ask"
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class AgentContext:
    """The dependencies of one run.

    `effect_key` turns a tool call's id into a key that stays the same over all attempts of that call. `taint` is
    live: what has entered the run's context from outside so far, by source. `prompt` is what the person asked.
    """

    run_id: UUID
    conversation_id: UUID
    workspace_id: UUID
    user_id: UUID
    pattern: str
    attempt: int
    notes: NoteStore
    outbound: Outbound
    now: Callable[[], datetime]
    effect_key: Callable[[str], str]
    context_data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    targets: tuple[Target, ...] = ()
    taint: set[str] = field(default_factory=set[str])
    prompt: str = ""

    def target(self, name: str) -> Target | None:
        """The target of that name, if the run has one."""
        return next((target for target in self.targets if target.name == name), None)
