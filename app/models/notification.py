"""Who is told of what a task's runs come to, when, in which words, and through which channel."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from app.models.wire import Inbound

ChannelName = Literal["email", "slack", "webhook"]
Occasion = Literal["success", "failure", "waiting", "recovery", "paused", "worth_telling"]

OCCASIONS: tuple[Occasion, ...] = ("success", "failure", "waiting", "paused")
"""What is told where a task names nothing else."""

SLACK_HOSTS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)*{_LABEL}")


def bare_address(value: str) -> str:
    """The value, if it is one bare e-mail address and nothing else. Raises ValueError."""
    local, _, domain = value.rpartition("@")
    if (
        not _ADDRESS.fullmatch(value)
        or len(local) > 64
        or len(value) > 254
        or "=?" in value
        or domain.rpartition(".")[2].isdigit()
    ):
        raise ValueError("give one bare e-mail address, such as user@example.com")
    return value


def slack_hook(value: str) -> str:
    """The value, if it is the address of an incoming webhook of Slack's own. Raises ValueError."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = value.isascii() and value.isprintable() and " " not in value and "\\" not in value
    if not plain or parts.scheme != "https" or parts.netloc not in SLACK_HOSTS or port is not None:
        raise ValueError("give the https address of a Slack incoming webhook (https://hooks.slack.com/…)")
    return value


class MessageTemplate(Inbound):
    """Words of the task's own for one channel. Only `{{title}}`, `{{result}}`, `{{status}}`, `{{reason}}`,
    `{{detail}}`, `{{url}}`, `{{event}}`, `{{agent}}`, `{{task_id}}`, `{{run_id}}` and `{{time}}` are replaced.

    The body is Markdown. Anything else in braces stays as it is written.
    """

    subject: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\r\n]*$")] | None = Field(
        default=None, examples=["{{title}}: {{status}}"]
    )
    body: Annotated[str, Field(min_length=1, max_length=20_000)] = Field(examples=["{{result}}\n\n{{url}}"])


class DigestIn(Inbound):
    """One message for everything that happens within the window. What waits for a person is told at once."""

    every_seconds: Annotated[int, Field(ge=60, le=7 * 86_400)] = Field(examples=[3600])


class NotificationConfig(Inbound):
    """Channels, their targets, and what is told. The agent chooses none of them.

    `email` needs `email_address`, `webhook` needs `webhook_url`; `slack` takes `slack_webhook_url`, `slack_channel`
    (with the operator's SLACK_BOT_TOKEN) or the operator's SLACK_WEBHOOK_URL. `notify_on` is success, failure,
    waiting and paused where it is left out; with `worth_telling` a run that succeeds is told only when its
    structured answer says `notify: true`. `fallback` is the channel for what could not be delivered.
    """

    channels: list[ChannelName] = Field(default_factory=list[ChannelName], max_length=3, examples=[["email"]])
    email_address: Annotated[str, Field(max_length=254), AfterValidator(bare_address)] | None = Field(
        default=None, examples=["user@example.com"]
    )
    slack_webhook_url: Annotated[str, Field(min_length=1, max_length=2000)] | None = Field(
        default=None, examples=[None]
    )
    slack_channel: Annotated[str, Field(pattern=r"^(?:#?[a-z0-9][a-z0-9_-]{0,79}|[CDGU][A-Z0-9]{2,30})$")] | None = (
        Field(default=None, examples=[None])
    )
    webhook_url: Annotated[str, Field(min_length=1, max_length=2000)] | None = Field(default=None, examples=[None])
    notify_on: Annotated[list[Occasion], Field(max_length=6)] | None = Field(default=None, examples=[None])
    templates: dict[ChannelName, MessageTemplate] | None = Field(default=None, examples=[None])
    digest: DigestIn | None = Field(default=None, examples=[None])
    fallback: ChannelName | None = Field(default=None, examples=[None])

    @model_validator(mode="after")
    def _targets_are_there(self) -> Self:
        for names in (self.channels, self.notify_on or []):
            if len(set(names)) != len(names):
                raise ValueError("name each channel and each occasion once")
        told = {*self.channels, self.fallback}
        if "email" in told and self.email_address is None:
            raise ValueError("channel email needs email_address")
        if "webhook" in told and self.webhook_url is None:
            raise ValueError("channel webhook needs webhook_url")
        if self.slack_webhook_url is not None and self.slack_channel is not None:
            raise ValueError("give slack_webhook_url or slack_channel, not both")
        if self.fallback is not None and self.fallback in self.channels:
            raise ValueError("fallback is a channel that is not told anyway")
        return self

    @property
    def occasions(self) -> frozenset[Occasion]:
        """What is told."""
        return frozenset(OCCASIONS if self.notify_on is None else self.notify_on)
