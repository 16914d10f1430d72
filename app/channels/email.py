"""Mail: plain text and HTML made of the same Markdown, one recipient, nothing fetched from elsewhere."""

from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import ClassVar

import css_inline
from markdown_it import MarkdownIt

from app.channels.channel import Means, one_line
from app.models.delivery import Message, Outcome, Rendered
from app.models.notification import bare_address

MOST_SUBJECT = 200

_STYLE = """
body { margin: 0; background: #ffffff; color: #1c1e21; font: 16px/1.5 -apple-system, Segoe UI, Helvetica, sans-serif }
.message { max-width: 640px; margin: 0 auto; padding: 24px }
h1, h2, h3 { line-height: 1.25; margin: 24px 0 8px }
a { color: #0b57d0 }
pre { background: #f4f5f7; padding: 12px; border-radius: 6px; white-space: pre-wrap; font-size: 14px }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 14px }
blockquote { margin: 0; padding-left: 12px; border-left: 3px solid #d0d4da; color: #4a4f57 }
table { border-collapse: collapse }
th, td { border: 1px solid #d0d4da; padding: 4px 8px; text-align: left }
"""

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
"""Raw HTML stays text, and pictures are not shown: a mail that is opened tells nobody that it was."""

_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False)


class EmailChannel:
    """Sends by the operator's mail server."""

    name: ClassVar[str] = "email"

    def __init__(self, means: Means) -> None:
        self._mailer = means.mailer
        self._from = means.mail_from

    def ready(self, to: str) -> bool:
        """Whether there is a mail server."""
        return self._mailer is not None

    @staticmethod
    def render(message: Message) -> Rendered:
        """Subject, text and HTML."""
        page = (
            f'<!doctype html><html><head><meta charset="utf-8"><style>{_STYLE}</style></head>'
            f'<body><div class="message">{_MARKDOWN.render(message.markdown)}</div></body></html>'
        )
        subject = one_line(message.subject, MOST_SUBJECT)
        return Rendered(subject=subject, text=message.markdown, html=_INLINER.inline(page))

    async def send(self, to: str, message: Message, rendered: Rendered) -> Outcome:
        """Send it to one bare address. Its Message-ID is the same at every try."""
        assert self._mailer is not None
        try:
            recipient = bare_address(to)
        except ValueError as error:
            return Outcome("failed", reason="invalid_address", detail=str(error))
        sender = parseaddr(self._from)[1]
        try:
            bare_address(sender)
        except ValueError:
            return Outcome("failed", reason="no_sender", detail="SMTP_FROM_EMAIL must hold the sender's address.")
        return await self._mailer.send(sender, recipient, self._message(sender, recipient, message, rendered))

    def _message(self, sender: str, recipient: str, message: Message, rendered: Rendered) -> bytes:
        mail = EmailMessage(policy=SMTP)
        mail["From"] = self._from
        mail["To"] = recipient
        mail["Subject"] = rendered.subject or ""
        mail["Date"] = format_datetime(message.at)
        mail["Message-ID"] = f"<{message.key}@{sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(rendered.text or "", cte="base64")
        mail.add_alternative(rendered.html or "", subtype="html", cte="base64")
        return mail.as_bytes()
