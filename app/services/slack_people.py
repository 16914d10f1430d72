"""Whom Slack speaks of: our workspace, our bot, and the person of ours that a Slack user is."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog

from app.channels.channel import one_line
from app.database.connection import Database
from app.database.unit import Unit
from app.integrations.google import GoogleOptions
from app.integrations.slack_api import SlackApi
from app.integrations.vault import Vault
from app.models.errors import Unavailable
from app.models.identity import Principal
from app.models.slack import PROVIDER, Bot
from app.services.approvals import ToolForms
from app.services.event_hub import EventHub
from app.services.users import WORKSPACE

log = structlog.get_logger(__name__)

ASK_SECONDS = 2.0
INTRODUCE_SECONDS = 1.2
"""How long Slack may take to say who the bot is, twice: an event that waits for it must be answered in three."""
_KNOWN_PEOPLE = 10_000
_MAY = frozenset(
    {
        "conversations:read",
        "conversations:write",
        "tasks:read",
        "tasks:write",
        "tasks:run",
        "runs:read",
        "runs:cancel",
        "approvals:read",
        "approvals:decide",
    }
)

Spawn = Callable[[Coroutine[Any, Any, None], str], object]


@dataclass(frozen=True, slots=True)
class SlackOptions:
    """What the operator says of the app: the secret that requests are signed with, and who answers."""

    signing_secret: str | None = None
    app_token: str | None = None
    agent: str = "assistant"
    production: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """A person's mail address, where Slack shows it, and name."""

    address: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Caller:
    """A person in Slack who wants something: who it is there, and which user of ours."""

    team_id: str
    slack_id: str
    user_id: UUID
    identity_id: UUID

    def principal(self, workspace_id: UUID) -> Principal:
        """The person as somebody who acts: for themself and for nobody else."""
        name = f"{PROVIDER}:{self.team_id}:{self.slack_id}"
        return Principal("slack", name, workspace_id, self.user_id, _MAY, bound_to_user=True)


@dataclass
class Slack:
    """What everything about Slack shares in a process. `google` is None where no Google client is
    configured, `tools` where arguments cannot be edited."""

    database: Database
    hub: EventHub
    api: SlackApi
    options: SlackOptions
    spawn: Spawn
    vault: Vault
    google: GoogleOptions | None = None
    tools: ToolForms | None = None
    ring: Callable[[], None] = lambda: None
    _bot: Bot | None = None
    _workspace: UUID | None = None
    _people: dict[tuple[str, str], Caller] = field(default_factory=dict[tuple[str, str], Caller])
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def bot(self) -> Bot:
        """Our app in its workspace, asked of Slack once. Raises Unavailable."""
        async with self._asking:
            if self._bot is None:
                self._bot = await self._asked()
            return self._bot

    async def _asked(self) -> Bot:
        if not self.api.ready:
            raise Unavailable("SLACK_BOT_TOKEN is not set.", code="slack_not_configured", retry_after=60)
        answer = await self.api.call("auth.test", {}, seconds=INTRODUCE_SECONDS)
        if not answer.ok:
            log.warning("slack.bot_unknown", error=answer.error)
            raise Unavailable(f"Slack does not say who its bot is ({answer.error}).", code="slack_unavailable")
        bot_id = answer.data.get("bot_id")
        app_id = answer.data.get("app_id")
        if not app_id and bot_id:
            more = await self.api.call("bots.info", {"bot": bot_id}, seconds=INTRODUCE_SECONDS)
            app_id = more.data.get("bot", {}).get("app_id") if more.ok else None
        return Bot(str(answer.data["team_id"]), str(answer.data["user_id"]), bot_id, app_id)

    async def workspace_id(self) -> UUID:
        """The workspace whose people come from Slack: the owner's in local mode, in production the first."""
        if self._workspace is None:
            async with self.database.across() as unit:
                first = await unit.directory.first_workspace() if self.options.production else None
                self._workspace = (first or await unit.directory.workspace(WORKSPACE)).id
        return self._workspace

    async def caller(self, unit: Unit, team_id: str, slack_id: str) -> Caller:
        """The person, made a user of ours on first sight."""
        known = self._people.get((team_id, slack_id))
        if known is not None:
            return known
        subject = f"{team_id}:{slack_id}"
        found = await unit.identities.find(PROVIDER, subject)
        if found is None:
            user = await unit.users.see(f"{PROVIDER}:{subject}")
            return _caller(await unit.identities.link(PROVIDER, subject, user.id))  # remembered once it is committed
        if len(self._people) >= _KNOWN_PEOPLE:
            self._people.clear()
        caller = self._people[team_id, slack_id] = _caller(found)
        return caller

    async def profile(self, slack_id: str) -> Profile:
        """What Slack shows of a person. Raises Unavailable."""
        answer = await self.api.call("users.info", {"user": slack_id}, seconds=ASK_SECONDS)
        if not answer.ok and answer.error != "missing_scope":
            raise Unavailable("Slack does not answer. Try again in a moment.", code="slack_unavailable")
        told: dict[str, Any] = answer.data["user"].get("profile", {}) if answer.ok else {}
        name = one_line(str(told.get("display_name") or told.get("real_name") or slack_id), 100)
        return Profile(str(told["email"]) if told.get("email") else None, name)


def _caller(found: Any) -> Caller:
    team_id, _, slack_id = found.subject.partition(":")
    return Caller(team_id, slack_id, found.user_id, found.id)
