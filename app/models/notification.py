"""Who is told when a run has ended, and through which channel."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from app.models.wire import Inbound

ChannelName = Literal["email", "slack", "webhook"]
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
    """The value, if it is the address of a Slack incoming webhook. Raises ValueError."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = value.isascii() and value.isprintable() and " " not in value and "\\" not in value
    if not plain or parts.scheme != "https" or parts.netloc not in SLACK_HOSTS or port is not None:
        raise ValueError("give the https address of a Slack incoming webhook (https://hooks.slack.com/…)")
    return value


class NotificationConfig(Inbound):
    """Channels and their targets. The agent never chooses either.

    `email` needs `email_address`, `webhook` needs `webhook_url`; `slack` takes `slack_webhook_url` or the
    operator's SLACK_WEBHOOK_URL.
    """

    channels: list[ChannelName] = Field(default_factory=list[ChannelName], max_length=3, examples=[["email"]])
    email_address: Annotated[str, Field(max_length=254), AfterValidator(bare_address)] | None = Field(
        default=None, examples=["user@example.com"]
    )
    slack_webhook_url: Annotated[str, Field(max_length=2000), AfterValidator(slack_hook)] | None = Field(
        default=None, examples=[None]
    )
    webhook_url: Annotated[str, Field(min_length=1, max_length=2000)] | None = Field(default=None, examples=[None])

    @model_validator(mode="after")
    def _targets_are_there(self) -> Self:
        if len(set(self.channels)) != len(self.channels):
            raise ValueError("name each channel once")
        if "email" in self.channels and self.email_address is None:
            raise ValueError("channel email needs email_address")
        if "webhook" in self.channels and self.webhook_url is None:
            raise ValueError("channel webhook needs webhook_url")
        return self
