"""What a tool may know and reach while it runs: the dependencies of an agent's run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import UUID

from app.integrations.http import OutboundResponse
from app.integrations.search import Hit
from app.models.context import ContextChanges

if TYPE_CHECKING:
    from app.agents.mail import MailBox

Policy = Literal["allow", "ask", "deny"]
"""Whether a tool call starts at once, waits for a person, or never starts."""


@dataclass(frozen=True, slots=True)
class Grants:
    """What a person allowed beforehand: addresses that mail may go to, and whether mail may be labelled."""

    send_to: frozenset[str] = frozenset()
    label_mail: bool = False


@dataclass(frozen=True, slots=True)
class TaskProposal:
    """A scheduled task that an agent would like to be made for the run's user.

    `schedule` is in the form of the API (`cron`, `every` or `at`, and a `timezone`). `notify` names a channel; where
    it leads is what the person has set up, never what a model says.
    """

    title: str
    prompt: str
    schedule: Mapping[str, Any]
    notify: Literal["email", "slack", "none"] = "none"
    agent: str | None = None


class TaskPlanner(Protocol):
    """Makes the tasks that agents propose, once a person has agreed."""

    async def check(self, proposal: TaskProposal) -> str:
        """In words, when the task would run and whom it would tell. Raises InvalidInput for what cannot be made."""
        ...

    async def create(self, proposal: TaskProposal, key: str) -> Mapping[str, Any]:
        """Make the task and describe it; the same key gives the task that was made with it."""
        ...


@dataclass(frozen=True, slots=True)
class StateNow:
    """The state that an application shares with its agent, and what becomes of changes that the agent wants."""

    data: Mapping[str, Any]
    version: int
    changes: ContextChanges


class AppState(Protocol):
    """The application's state, behind the tools `read_context` and `update_context`."""

    async def read(self) -> StateNow:
        """The state as it is just now."""
        ...

    async def check(self, operations: Sequence[Mapping[str, Any]], version: int | None) -> None:
        """Raise InvalidInput or Conflict for a change that could not be made."""
        ...

    async def change(self, call: str, operations: Sequence[Mapping[str, Any]], wish: "Wish") -> Mapping[str, Any]:
        """Propose or make the change, once for each tool call. Raises InvalidInput, Conflict."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What goes with a change of the state: why, for which version (None: any), and whether a person has agreed."""

    why: str
    version: int | None = None
    agreed: bool = False


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


class SourceDesk(Protocol):
    """What a researcher may read, and where it is noted that it was read."""

    @property
    def kinds(self) -> frozenset[str]:
        """Where this research looks: `web`, `files`, `corpus`."""
        ...

    @property
    def urls(self) -> frozenset[str]:
        """Pages that a person named, which may be read without a search."""
        ...

    async def search(self, query: str, most: int) -> list[Hit]:
        """Pages that the operator's search provider finds. Raises SearchFailed."""
        ...

    async def document(self, file_id: str) -> tuple[str, str]:
        """Title and text of a document of the task. Raises ToolFailed."""
        ...

    async def keep(self, ref: str, kind: str, address: str, title: str, excerpt: str) -> None:
        """Note that this was fetched, under its reference."""
        ...

    async def known(self) -> Mapping[str, str]:
        """Addresses of everything that was fetched in this research, by reference."""
        ...


class Shelf(Protocol):
    """Where a run saves results as files."""

    async def save(self, name: str, text: str, key: str) -> UUID:
        """Keep a text as a file, and give its id; the same key gives the same file.

        Raises Conflict when the user's quota is used up, InvalidInput, UnsupportedMediaType.
        """
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
    live: what has entered the run's context from outside so far, by source. `prompt` is what people
    asked in this conversation in their own words, and `said` what they have said since this attempt began. `trigger`
    says what began the run, `present` whether a person is there to be asked. `mail` is the mailbox of the run's user;
    None where the process has none to give. `sources` is there for the researchers of a piece of research. `shelf`
    keeps what is saved as a file.
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
    trigger: str = "message"
    present: bool = False
    grants: Grants = Grants()
    mail: "MailBox | None" = None
    planner: TaskPlanner | None = None
    app_state: AppState | None = None
    sources: SourceDesk | None = None
    shelf: Shelf | None = None
    said: list[str] = field(default_factory=list[str])

    @property
    def words(self) -> str:
        """Everything that people said here themselves, up to now."""
        return "\n".join([self.prompt, *self.said])

    def target(self, name: str) -> Target | None:
        """The target of that name, if the run has one."""
        return next((target for target in self.targets if target.name == name), None)
