"""Sending mail: one message to one address per connection, and what the server's answer says about it."""

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiosmtplib
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from app.integrations.posting import snippet
from app.models.delivery import Outcome


@dataclass(frozen=True, slots=True)
class MailServer:
    """The server that takes our mail. `ca_file` is trusted besides the system's authorities; `seconds` is for all."""

    host: str
    port: int = 587
    username: str | None = None
    password: str | None = None
    tls_mode: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: Path | None = None
    seconds: float = 30.0


class Mailer:
    """Hands one message over. It never tries twice: that is the outbox' business."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._context: ssl.SSLContext | None = None

    async def send(self, sender: str, recipient: str, message: bytes) -> Outcome:
        """Send the message with this envelope.

        4xx is for later, 5xx and a certificate that does not hold are for good. When the line breaks after the
        message began to be handed over, nobody can know: `unknown`.
        """
        client: aiosmtplib.SMTP | None = None
        handing = False
        try:
            async with asyncio.timeout(self._server.seconds):
                client = await self._connected()
                await client.mail(sender)
                await client.rcpt(recipient)
                handing = True
                answer = await client.data(message)
        except SMTPAuthenticationError as error:
            return _refused(error.code, f"{error.message} SMTP_USERNAME and SMTP_PASSWORD say who logs in.")
        except SMTPResponseException as error:
            return _refused(error.code, error.message)
        except SMTPRecipientsRefused as error:
            return _refused(error.recipients[0].code, error.recipients[0].message)
        except (SMTPException, OSError, ValueError) as error:
            return _broken(error, handing=handing)
        finally:
            if client is not None:
                await _leave(client)
        return Outcome("sent", str(answer.code), snippet=snippet(answer.message))

    async def _connected(self) -> aiosmtplib.SMTP:
        server = self._server
        if self._context is None and server.tls_mode != "none":
            self._context = await asyncio.to_thread(_context, server.ca_file)
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            local_hostname=socket.gethostname(),
            timeout=server.seconds,
            use_tls=server.tls_mode == "tls",
            start_tls=server.tls_mode == "starttls",
            tls_context=self._context,
        )
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        return client


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


async def _leave(client: aiosmtplib.SMTP) -> None:
    """Say goodbye, but wait for nobody: what was answered counts already."""
    with contextlib.suppress(SMTPException, OSError, ValueError):
        async with asyncio.timeout(1):
            await client.quit()
    client.close()


def _refused(code: int, message: str) -> Outcome:
    said = snippet(message)
    if 400 <= code < 500:
        return Outcome("retry", str(code), "mail_deferred", f"The mail server asks to come back later: {code}.", said)
    return Outcome("failed", str(code), "mail_refused", f"The mail server refused the message: {code} {said}", said)


def _broken(error: Exception, *, handing: bool) -> Outcome:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Outcome(
                "failed",
                reason="tls_untrusted",
                detail=f"The mail server's certificate is not trusted ({snippet(cause.verify_message)}). "
                "For an authority of your own set SMTP_TLS_CA_FILE.",
            )
        cause = cause.__cause__ or cause.__context__
    said = snippet(str(error) or type(error).__name__)
    if isinstance(error, SMTPNotSupported) or "STARTTLS" in said:
        return Outcome("failed", reason="tls_not_offered", detail=f"{said} SMTP_TLS_MODE says how to connect.")
    if handing:
        detail = f"The line broke while the message was handed over; whether it arrived is not known: {said}"
        return Outcome("unknown", reason="no_answer", detail=detail)
    return Outcome("retry", reason="unreachable", detail=f"The mail server cannot be reached: {said}")
