"""Receivers of notifications on loopback: one that takes posts, and a mail server with STARTTLS and passwords."""

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from support.loopback import free_port, in_thread
from support.request_log import read_body


@dataclass(frozen=True)
class Posted:
    """A post that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class FarInbox:
    """Takes posts. `script` says how the next ones are answered, one entry each; after it with 200.

    An entry is (status, headers, body); status 0 breaks the line after the message was taken. `hold` keeps answers
    back until it is set.
    """

    url: str = ""
    posts: list[Posted] = field(default_factory=list)
    script: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    usual: tuple[int, dict[str, str], str] = (200, {}, "ok")
    hold: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.hold.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await read_body(receive)
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        self.posts.append(Posted(scope["path"], headers, body))
        self.arrived.set()
        while not self.hold.is_set():
            await asyncio.sleep(0.01)
        status, more, text = self.script.pop(0) if self.script else self.usual
        if status == 0:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            raise ConnectionResetError
        raw = [(name.encode(), value.encode()) for name, value in more.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": text.encode()})

    @property
    def netloc(self) -> str:
        return self.url.removeprefix("http://")


@contextmanager
def far_inbox() -> Iterator[FarInbox]:
    """The receiver of posts, in a thread."""
    app = FarInbox()
    with in_thread(app) as url:
        app.url = url
        yield app


@dataclass
class MailRoom:
    """What a mail server took, and how it answers the next messages: a line, or None to break off after taking one."""

    port: int = 0
    taken: list[Envelope] = field(default_factory=list)
    script: list[str | None] = field(default_factory=list)
    refused_recipients: dict[str, str] = field(default_factory=dict)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused_recipients:
            return self.refused_recipients[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.script.pop(0) if self.script else "250 taken"
        if answer is None or answer.startswith("250"):
            self.taken.append(envelope)
        if answer is None:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
            return "250 never heard"
        return answer

    @property
    def mails(self) -> list[EmailMessage]:
        """The messages, parsed."""
        return [message_from_bytes(bytes(one.content or b""), policy=policy.default) for one in self.taken]  # type: ignore[misc]


def _let_in(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"sixlane", b"open sesame")
    return AuthResult(success=good, handled=False)


@contextmanager
def mail_server(
    room: MailRoom, context: ssl.SSLContext | None = None, *, port: int | None = None
) -> Iterator[MailRoom]:
    """A mail server in a thread; with a context it wants STARTTLS and then a password (sixlane, open sesame)."""
    room.port = port or free_port()
    secure: dict[str, Any] = (
        {
            "tls_context": context,
            "require_starttls": True,
            "authenticator": _let_in,
            "auth_required": True,
        }
        if context
        else {}
    )
    controller = Controller(room, hostname="127.0.0.1", port=room.port, **secure)
    controller.start()
    try:
        yield room
    finally:
        controller.stop()
