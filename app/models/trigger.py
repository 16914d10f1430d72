"""What starts a triggered task: how its webhook is signed, filtered and mapped; and the events that came in."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from app.models.json_path import checked
from app.models.wire import Inbound, Outbound

Scheme = Literal["standard", "github", "stripe", "slack", "hmac", "bearer", "none"]
EventOutcome = Literal["accepted", "filtered", "held", "merged", "replayed"]

JsonPath = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(checked)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Scalar = Annotated[str, Field(max_length=2000)] | bool | int | float | None
Secret = Annotated[str, StringConstraints(min_length=24, max_length=500, pattern=r"^[!-~]+$")]

_TESTS = ("equals", "not_equals", "one_of", "exists")


class HmacConfig(Inbound):
    """A signature of no known vendor: the HMAC of the raw body in a header, after an optional prefix."""

    header: HeaderName = Field(default="X-Signature", examples=["X-Signature"])
    algorithm: Literal["sha256", "sha1", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: Annotated[str, StringConstraints(max_length=40, pattern=r"^[ -~]*$")] = Field(
        default="", examples=["sha256="]
    )


class DedupConfig(Inbound):
    """How an event that comes again is known. By default by the sender's id, as its scheme names it, else by the body.

    `header` or `path` say where that id stands. `by: nothing` lets every request begin a run.
    """

    by: Literal["id", "body", "nothing"] = "id"
    header: HeaderName | None = Field(default=None, examples=["X-Event-Id"])
    path: JsonPath | None = Field(default=None, examples=[None])

    @model_validator(mode="after")
    def _names_one_place(self) -> Self:
        if self.header is not None and self.path is not None:
            raise ValueError("give either header or path")
        if self.by != "id" and (self.header is not None or self.path is not None):
            raise ValueError("header and path are for `by: id`")
        return self


class Condition(Inbound):
    """One condition on an event: what stands at `path` equals, differs from, is one of, or exists at all."""

    path: JsonPath = Field(examples=["$.action"])
    equals: Scalar = Field(default=None, examples=["opened"])
    not_equals: Scalar = None
    one_of: Annotated[list[Scalar], Field(min_length=1, max_length=100)] | None = Field(
        default=None, alias="in", examples=[None]
    )
    exists: bool | None = Field(default=None, examples=[None])

    @model_validator(mode="after")
    def _is_one_test(self) -> Self:
        self.test  # noqa: B018 - raises
        return self

    @property
    def test(self) -> str:
        """Which of the tests this is. Raises ValueError unless it is one."""
        given = [name for name in _TESTS if name in self.model_fields_set]
        if len(given) != 1 or (given[0] in ("one_of", "exists") and getattr(self, given[0]) is None):
            raise ValueError("give one of equals, not_equals, in, exists")
        return given[0]


class TriggerConfig(Inbound):
    """How a webhook of a triggered task is checked and read; `{}` will do.

    `scheme` says how requests are signed. `secret` is never shown again; without it one is made. `filter` are
    conditions that must all hold. `mapping` names places in the payload that the prompt uses as `{{name}}`. Events
    that come within `debounce_seconds` of each other begin one run together. A signed time may be off by
    `tolerance_seconds`, or by what the operator has set (5 minutes).
    """

    scheme: Scheme = Field(default="standard", examples=["standard"])
    hmac: HmacConfig | None = Field(default=None, examples=[None])
    secret: Secret | None = Field(default=None, examples=[None])
    tolerance_seconds: Annotated[int, Field(ge=1, le=3600)] | None = Field(default=None, examples=[None])
    dedup: DedupConfig | None = Field(default=None, examples=[None])
    filter: Annotated[list[Condition], Field(max_length=20)] = Field(default_factory=list[Condition])
    mapping: Annotated[dict[VariableName, JsonPath], Field(max_length=50)] = Field(
        default_factory=dict[str, str], examples=[{"customer": "$.customer.name"}]
    )
    debounce_seconds: Annotated[float, Field(gt=0, le=3600, strict=False)] | None = Field(default=None, examples=[None])
    max_per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = Field(default=None, examples=[None])

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.hmac is not None and self.scheme != "hmac":
            raise ValueError("hmac is for scheme hmac")
        if self.scheme == "none" and self.secret is not None:
            raise ValueError("scheme none takes no secret")
        return self

    def stored(self) -> dict[str, Any]:
        """What of this is kept with the task and shown again: all that was given but the secret."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"secret"})


def needs_secret(config: TriggerConfig, *, production: bool) -> bool:
    """Whether a task with this trigger must have a secret: in production always, else when a signature is asked for."""
    asked = "scheme" in config.model_fields_set or config.hmac is not None or config.secret is not None
    return production or (asked and config.scheme != "none")


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """A row of `webhook_secrets`: a sealed secret of a task; of two the older one ends at `expires_at`."""

    workspace_id: UUID
    id: UUID
    task_id: UUID
    sealed: bytes
    hint: str
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class InboundEvent:
    """A row of `inbound_events`: a request that was taken at a webhook, and what became of it."""

    workspace_id: UUID
    id: UUID
    task_id: UUID
    dedup_key: str
    body: bytes
    content_type: str
    headers: dict[str, str]
    scheme: str
    outcome: EventOutcome
    reason: str | None
    run_id: UUID | None
    replay_of: UUID | None
    received_at: datetime


class WebhookAnswer(Outbound):
    """What a sender is told. `duplicate` says that the event had come before; the ids are then the first one's."""

    delivery_id: UUID
    outcome: EventOutcome = Field(examples=["accepted"])
    run_id: UUID | None
    status_url: str | None = Field(examples=["/runs/0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11"])
    reason: str | None = Field(default=None, examples=[None])
    duplicate: bool = False


class WebhookEventOut(Outbound):
    """An event that came in, without its body."""

    id: UUID
    task_id: UUID
    outcome: EventOutcome = Field(examples=["accepted"])
    reason: str | None
    run_id: UUID | None
    replay_of: UUID | None
    dedup_key: str = Field(examples=["id:msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"])
    scheme: str = Field(examples=["standard"])
    content_type: str = Field(examples=["application/json"])
    size: int = Field(examples=[31])
    received_at: datetime


class WebhookEventDetail(WebhookEventOut):
    """An event that came in. `body` is its text, cut where `body_cut` says so; secrets are left out of `headers`."""

    headers: dict[str, str] = Field(examples=[{"user-agent": "GitHub-Hookshot/044aadd"}])
    body: str = Field(examples=['{"event": "data_received"}'])
    body_cut: bool


class RotateIn(Inbound):
    """A new secret: yours, or one that is made. The one before stays valid for `grace_hours`."""

    secret: Secret | None = Field(default=None, examples=[None])
    grace_hours: Annotated[int, Field(ge=0, le=168)] = 24


class SecretOut(Outbound):
    """A new secret, shown this once, and until when the one before holds."""

    webhook_secret: str = Field(examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"])
    webhook_url: str = Field(examples=["http://localhost:8000/tasks/webhooks/0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11"])
    previous_expires_at: datetime | None


class TryIn(Inbound):
    """A request to try out: its headers, and its body as text or as the JSON that would be sent."""

    headers: Annotated[dict[HeaderName, Annotated[str, Field(max_length=8000)]], Field(max_length=100)] = Field(
        default_factory=dict[str, str], examples=[{"X-GitHub-Event": "push"}]
    )
    body: Any = Field(default=None, examples=[{"event": "data_received"}])
    body_text: Annotated[str, Field(max_length=262_144)] | None = Field(default=None, examples=[None])


class ConditionOut(Outbound):
    """A condition, what stood at its path, and whether it held."""

    path: str = Field(examples=["$.action"])
    test: str = Field(examples=["equals"])
    found: Any = Field(examples=["opened"])
    holds: bool


class TryOut(Outbound):
    """What would become of a request. Nothing was stored and nothing began.

    `verdict` is `valid`, `invalid`, or `unsigned` where the task asks for no signature.
    """

    verdict: Literal["valid", "invalid", "unsigned"]
    scheme: str = Field(examples=["standard"])
    filter: list[ConditionOut]
    filtered: bool
    duplicate: bool
    dedup_key: str
    variables: dict[str, str] = Field(examples=[{"customer": "C-4711"}])
    prompt: str
    would_run: bool
