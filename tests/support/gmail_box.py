"""A mailbox as Gmail keeps it: mails with labels and threads, drafts, and a small part of its search."""

import base64
import itertools
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import Any

_numbers = itertools.count(0x1A2B3C4D5E6F)


def new_id() -> str:
    """An id such as Gmail gives."""
    return f"{next(_numbers):016x}"


@dataclass(frozen=True)
class Left:
    """A mail that has left."""

    account: str
    message_id: str
    recipients: list[str]
    subject: str
    body: str


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose `METHOD path` holds `where`.

    `after` lets the request take effect first; `cut` breaks the connection off; `seconds` holds it before it is done.
    """

    where: str
    status: int = 500
    reason: str = "backendError"
    times: int = 1
    after: bool = False
    cut: bool = False
    seconds: float = 0.0
    retry_after: int | None = None


@dataclass
class Flight:
    """A request that is being answered; `done` once it has taken effect."""

    account: str
    what: str
    done: bool = False


@dataclass
class Stored:
    """One mail: its raw bytes, or a payload that no bytes would give."""

    id: str
    thread: str
    labels: set[str]
    raw: bytes
    at: float = field(default_factory=time.time)
    payload: Mapping[str, Any] | None = None

    @property
    def parsed(self) -> Message:
        """The message."""
        return message_from_bytes(self.raw, policy=policy.default)

    def header(self, name: str) -> str:
        """A header, or an empty text."""
        return str(self.parsed[name] or "")

    @property
    def text(self) -> str:
        """Everything that can be searched."""
        return self.raw.decode("utf-8", "replace").lower()

    def document(self, form: str) -> dict[str, Any]:
        """The mail as the API gives it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "threadId": self.thread,
            "labelIds": sorted(self.labels),
            "snippet": body_of(self.parsed)[:100],
            "internalDate": str(int(self.at * 1000)),
            "sizeEstimate": len(self.raw),
        }
        if form == "raw":
            shown["raw"] = base64.urlsafe_b64encode(self.raw).decode()
        elif form != "minimal":
            shown["payload"] = self.payload or payload_of(self.parsed)
        return shown


def body_of(message: Message) -> str:
    """The text of a message of one part."""
    found = message.get_payload(decode=True)
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else ""


def payload_of(message: Message, number: str = "") -> dict[str, Any]:
    """A message in Gmail's form, part by part; base64url without padding."""
    headers = [{"name": name, "value": str(value)} for name, value in message.items()]
    shown: dict[str, Any] = {
        "partId": number,
        "mimeType": message.get_content_type(),
        "filename": message.get_filename() or "",
        "headers": headers,
    }
    if message.is_multipart():
        parts: Any = message.get_payload()
        return {
            **shown,
            "body": {"size": 0},
            "parts": [payload_of(one, f"{number}.{n}") for n, one in enumerate(parts)],
        }
    content: Any = message.get_payload(decode=True) or b""
    body: dict[str, Any] = {"size": len(content)}
    if shown["filename"]:
        body["attachmentId"] = "ANGjdJ-an-attachment"
    else:
        body["data"] = base64.urlsafe_b64encode(content).decode().rstrip("=")
    return {**shown, "body": body}


class Box:
    """One account's mailbox. The test puts mails in with `receive`, the server does the rest."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.mails: dict[str, Stored] = {}
        self.drafts: dict[str, str] = {}
        self.labels: dict[str, str] = {}

    def receive(
        self,
        subject: str,
        body: str = "",
        *,
        sender: str = "ada@example.com",
        html: str | None = None,
        headers: Mapping[str, str] | None = None,
        attachments: Iterable[tuple[str, bytes]] = (),
        payload: Mapping[str, Any] | None = None,
        thread: str | None = None,
        labels: Iterable[str] = ("INBOX", "UNREAD"),
    ) -> Stored:
        """A mail that has arrived."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = sender, self.account, subject
        message["Message-ID"] = f"<{new_id()}@example.com>"
        for name, value in (headers or {}).items():
            del message[name]
            message[name] = value
        message.set_content(body)
        if html is not None:
            message.add_alternative(html, subtype="html")
        for name, content in attachments:
            message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
        return self.add(message.as_bytes(), set(labels), thread, payload=payload)

    def add(
        self, raw: bytes, labels: set[str], thread: str | None = None, *, payload: Mapping[str, Any] | None = None
    ) -> Stored:
        """Keep a mail."""
        ident = new_id()
        stored = Stored(ident, thread or ident, labels, raw, payload=payload)
        self.mails[ident] = stored
        return stored

    def search(self, query: str, labels: Iterable[str] = ()) -> list[Stored]:
        """Mails that match every word of a query, the newest first."""
        wanted = set(labels)
        found = [
            one
            for one in self.mails.values()
            if wanted <= one.labels and all(_matches(one, word) for word in query.split())
        ]
        return sorted(found, key=lambda one: (one.at, one.id), reverse=True)

    @property
    def sent(self) -> list[Stored]:
        """What has left."""
        return [one for one in self.mails.values() if "SENT" in one.labels]


def _matches(mail: Stored, word: str) -> bool:
    name, colon, value = word.partition(":")
    value = value.strip('"').lower()
    if not colon:
        return word.lower() in mail.text
    if name == "rfc822msgid":
        return mail.header("Message-ID").strip("<> ") == word.partition(":")[2].strip("<>")
    if name in ("in", "is", "label"):
        names = {"unread": "UNREAD", "drafts": "DRAFT", "draft": "DRAFT", "starred": "STARRED"}
        return value == "anywhere" or names.get(value, value.upper()) in mail.labels
    if name in ("from", "to", "cc", "subject"):
        return value in mail.header(name).lower()
    if name == "has":
        return any(part.get_filename() for part in mail.parsed.walk())
    return True
