"""Slack: who the bot is, whose message it was, which thread is which conversation, and messages on their way there."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

PROVIDER = "slack"
"""What runs from Slack name as their trigger, text of other people there as its taint, and identities as provider."""

COMMAND = "/sixlane"

MessageKind = Literal["answer", "card", "note", "connect", "status", "heard"]


@dataclass(frozen=True, slots=True)
class Bot:
    """Our app in its Slack workspace, as Slack tells it."""

    team_id: str
    user_id: str
    bot_id: str | None = None
    app_id: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is said. `thread_ts` is empty for the top level of a direct message."""

    team_id: str
    channel_id: str
    thread_ts: str = ""
    direct: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a person of ours is at an outside service. `profile` is what that service said of them."""

    workspace_id: UUID
    id: UUID
    provider: str
    subject: str
    user_id: UUID
    profile: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SlackThread:
    """A thread, or the top level of a direct message, that is a conversation of ours."""

    workspace_id: UUID
    id: UUID
    team_id: str
    channel_id: str
    thread_ts: str
    conversation_id: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """A message of ours, or one that was heard. It is to be sent, again if need be, while `due_at` is set.

    `state` holds `parts` (what is posted, each a message), `sent` (how many were), and `tries`.
    """

    workspace_id: UUID
    id: UUID
    kind: MessageKind
    about_id: UUID
    channel_id: str
    thread_ts: str | None
    message_ts: str | None
    due_at: datetime | None
    state: dict[str, Any] = field(default_factory=dict[str, Any])
