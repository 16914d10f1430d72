"""The words for mail between tools and the mailbox: what is found, what is written, and how either can fail."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

MOST_RECIPIENTS = 10
MOST_FOUND = 25
MOST_LABELLED = 100

Action = Literal["archive", "to_inbox", "mark_read", "mark_unread", "star", "unstar"]


class MailProblem(Exception):
    """Nothing was done; the sentence is for the model and the person."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class TooComplex(MailProblem):
    """The mail cannot be read within the limits."""

    def __init__(self, detail: str = "This mail is too complex to be read here; open it in Gmail.") -> None:
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail of a list. Every text but the ids was written by others, or by whoever wrote the mail."""

    id: str
    thread: str
    sender: str
    to: str
    subject: str
    date: str
    snippet: str
    unread: bool
    has_attachments: bool


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attachment as the mail names it; its content is never read."""

    name: str
    type: str
    size: int


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail in full, as text that a person would see. `notes` say what was left out."""

    id: str
    thread: str
    sender: str
    to: str
    cc: str
    subject: str
    date: str
    text: str
    attachments: tuple[Attachment, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A mail, or the mails of a thread, oldest first. `left_out` counts older mails that are not among them."""

    letters: tuple[Letter, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A mail as it is to go out: bare addresses, one line of subject, plain text. There is no Bcc."""

    to: tuple[str, ...]
    subject: str
    body: str
    cc: tuple[str, ...] = ()

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everybody it goes to."""
        return (*self.to, *self.cc)

    @property
    def digest(self) -> str:
        """What an approval of these words stands for: SHA-256 over recipients, subject and body."""
        parts = [sorted(self.to), sorted(self.cc), self.subject, "\n".join(self.body.splitlines()).rstrip()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft that stands in the mailbox now, with the words that it holds."""

    id: str
    message: Outgoing


@dataclass(frozen=True, slots=True)
class Sent:
    """A mail that has left. `again` says that it had left before this call, which sent nothing."""

    id: str
    thread: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Labelled:
    """What was added to and taken from how many mails; the opposite undoes it."""

    count: int
    added: Sequence[str]
    removed: Sequence[str]


class MailBox(Protocol):
    """The mailbox of the run's user, and of nobody else: no method takes an account.

    Every method raises `MailProblem` when nothing was done, `NotConnected` or `ReconnectNeeded` (app.models.connection)
    when the account cannot be used, and `Transient` when it may work later. `key` is the effect key of the tool call.
    """

    async def search(self, query: str, limit: int) -> list[Mail]:
        """The newest mails that match a query in Gmail's words."""
        ...

    async def read(self, mail_id: str, *, whole_thread: bool = False) -> Reading:
        """A mail by its id, or all mails of its thread."""
        ...

    async def draft(self, key: str, message: Outgoing) -> Draft:
        """Put a draft into the mailbox; once for a key."""
        ...

    async def reply(self, key: str, mail_id: str, body: str, *, to_all: bool) -> Draft:
        """Put a draft into the mailbox that answers a mail, in its thread; once for a key."""
        ...

    async def taking_part(self, draft_id: str) -> frozenset[str]:
        """The addresses that take part in the mail which a draft answers, as the mailbox has them."""
        ...

    async def send(self, key: str, message: Outgoing, draft_id: str | None) -> Sent:
        """Send exactly this message, once for a key, however often it is called.

        With `draft_id`, that draft becomes the mail, in its thread. Raises OutcomeUnknown where nobody can tell
        whether the mail has left.
        """
        ...

    async def label(self, mail_ids: Sequence[str], actions: Sequence[Action], labels: Sequence[str]) -> Labelled:
        """Carry out the actions on the mails and put labels on them that the mailbox has."""
        ...


def told(message: Outgoing) -> dict[str, Any]:
    """A message as tool results show it."""
    return {"to": list(message.to), "cc": list(message.cc), "subject": message.subject, "body": message.body}
