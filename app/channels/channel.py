"""What a channel is: it gives a message its form, and sends it once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol
from uuid import UUID

from app.integrations.http import OutboundGuard
from app.integrations.slack import SlackSender
from app.integrations.smtp import Mailer
from app.models.delivery import Message, Outcome, Rendered


@dataclass(frozen=True, slots=True)
class Means:
    """What channels send by. `mailer` is None without a mail server; `signing_secret` is a workspace's own."""

    guard: OutboundGuard
    slack: SlackSender
    signing_secret: Callable[[UUID], bytes]
    mailer: Mailer | None = None
    mail_from: str = ""
    seconds: float = 15.0


class Channel(Protocol):
    """One way out. Sending never raises for what the far end does, and never tries twice."""

    name: ClassVar[str]

    def __init__(self, means: Means) -> None: ...

    def ready(self, to: str) -> bool:
        """Whether the operator has configured what this target needs; else the message stays in the dev inbox."""
        ...

    @staticmethod
    def render(message: Message) -> Rendered:
        """The message in this channel's form, with everything escaped that would act there."""
        ...

    async def send(self, to: str, message: Message, rendered: Rendered) -> Outcome:
        """Send it once, to a target that is checked again here."""
        ...


def one_line(text: str, most: int) -> str:
    """A text as one line without control characters, cut at `most` characters."""
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return line if len(line) <= most else line[: most - 1] + "…"
