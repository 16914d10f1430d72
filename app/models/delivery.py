"""A delivery: one notification to one target by one channel, with its attempts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app.models.notification import ChannelName
from app.models.wire import Outbound

DeliveryStatus = Literal["pending", "sending", "held", "sent", "inbox", "digested", "unknown", "failed", "dead"]
AttemptOutcome = Literal["sent", "retry", "failed", "unknown"]

ENDED: frozenset[str] = frozenset({"sent", "inbox", "digested", "unknown", "failed", "dead"})
"""States from which nothing is sent any more, unless a person has it sent again."""

RETRY_SECONDS: tuple[int, ...] = (0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000)
"""How long after the attempt before each attempt is made; after the last one a delivery is dead.

The intervals are those that Svix publishes for its webhooks.
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of `deliveries`.

    `target` is `{to, place}` (place: what is shared with other targets, such as the host), `content` what is told:
    `{type, time, facts, data, template}`, or `{type: "digest", items: [content, …], left_out}`.
    """

    workspace_id: UUID
    id: UUID
    user_id: UUID
    task_id: UUID | None
    run_id: UUID | None
    event: str
    channel: str
    target: dict[str, Any]
    content: dict[str, Any]
    status: DeliveryStatus
    status_reason: str | None
    status_detail: str | None
    attempts: int
    due_at: datetime
    lease_until: datetime | None
    fence: int
    digest_id: UUID | None
    fallback_of: UUID | None
    resend_of: UUID | None
    dedup_key: str
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of `delivery_attempts`: one try, what the far end said, and how long it took."""

    workspace_id: UUID
    delivery_id: UUID
    number: int
    outcome: AttemptOutcome
    code: str | None
    detail: str | None
    snippet: str | None
    seconds: float
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """What is told, before a channel gives it its form: a subject line, Markdown, and data for machines.

    `key` stays the same over retries and resends, so that a receiver knows what it has seen. `url` leads to the run.
    """

    workspace_id: UUID
    key: str
    type: str
    at: datetime
    subject: str
    markdown: str
    data: Mapping[str, Any]
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message in a channel's form. `body` is what is posted, where something is posted."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    body: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt.

    `sent`; `retry`, not before `after` seconds; `failed` for good; `unknown` when nobody can know whether it arrived.
    `code` is the far end's own, `reason` a slug, `detail` a sentence for a person, `snippet` the start of the answer.
    """

    outcome: AttemptOutcome
    code: str | None = None
    reason: str | None = None
    detail: str | None = None
    snippet: str | None = None
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a delivery is after an attempt; `wait` is in seconds and counts for `pending` only."""

    status: str
    reason: str | None = None
    detail: str | None = None
    wait: float = 0.0


class AttemptOut(Outbound):
    """One try. `snippet` is the start of the far end's answer."""

    number: int = Field(examples=[1])
    outcome: AttemptOutcome
    code: str | None = Field(examples=["200"])
    detail: str | None = Field(examples=[None])
    snippet: str | None = Field(examples=["ok"])
    seconds: float = Field(examples=[0.212])
    started_at: datetime


class DeliveryOut(Outbound):
    """A notification. `held` waits for its digest, `inbox` stayed here as its channel is not configured, `unknown`
    may have arrived, `failed` was refused for good, `dead` was given up after its last try.

    `due_at` is when the next try is due, while there is one.
    """

    id: UUID
    event: str = Field(examples=["run.completed"])
    channel: ChannelName
    target: str = Field(examples=["user@example.com"])
    status: DeliveryStatus
    status_reason: str | None = Field(examples=[None])
    status_detail: str | None = Field(examples=[None])
    subject: str = Field(examples=["Morning report: done"])
    task_id: UUID | None
    run_id: UUID | None
    user_id: str = Field(examples=["owner"])
    attempts: int = Field(examples=[1])
    due_at: datetime | None
    digest_id: UUID | None
    fallback_of: UUID | None
    resend_of: UUID | None
    created_at: datetime
    ended_at: datetime | None


class PreviewOut(Outbound):
    """What is or was sent: mail has subject, text and HTML; Slack and webhooks have the JSON that is posted."""

    subject: str | None = Field(examples=["Morning report: done"])
    text: str | None = Field(examples=["All is well."])
    html: str | None = Field(examples=[None])
    body: dict[str, Any] | None = Field(examples=[None])


class DeliveryDetail(DeliveryOut):
    """A notification with its tries and what is sent."""

    tries: list[AttemptOut]
    preview: PreviewOut


class SigningSecretOut(Outbound):
    """What outgoing webhooks of this workspace are signed with, by the Standard Webhooks scheme."""

    secret: str = Field(examples=["whsec_"])
