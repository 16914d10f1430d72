"""A mail that is to go out: checked, written as a message, and compared with what Gmail holds before it is sent."""

import base64
import hashlib
import re
from collections.abc import Iterable
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses

from app.agents.mail import MOST_RECIPIENTS, MailProblem, Outgoing
from app.agents.text import clean
from app.models.notification import bare_address

MOST_SUBJECT = 200
MOST_BODY = 100_000
_MESSAGE_ID = re.compile(r"<[\x21-\x3b\x3d\x3f-\x7e]{1,250}>")
_WIRE = policy.SMTP.clone(utf8=False, cte_type="7bit", max_line_length=990)


def outgoing(to: Iterable[str], subject: str, body: str, cc: Iterable[str] = ()) -> Outgoing:
    """A mail out of a tool's arguments. Raises MailProblem, naming what is wrong."""
    first = [_address(one) for one in to]
    known = {one.casefold() for one in first}
    second = [one for one in map(_address, cc) if one.casefold() not in known]
    if not first:
        raise MailProblem("A mail needs somebody in `to`.")
    if len(first) + len(second) > MOST_RECIPIENTS:
        raise MailProblem(f"A mail may go to {MOST_RECIPIENTS} people at most, To and Cc together.")
    if len(body) > MOST_BODY:
        raise MailProblem(f"The mail is longer than {MOST_BODY} characters.")
    text = clean(body).replace("\r\n", "\n").replace("\r", "\n")
    return Outgoing(_once(first), one_line(subject), text, _once(second))


def one_line(subject: str) -> str:
    """A subject folded to one line."""
    return " ".join("".join(one if one.isprintable() else " " for one in clean(subject)).split())[:MOST_SUBJECT]


def message_id(key: str, account: str) -> str:
    """The Message-ID of what a tool call writes: the same however often it is written."""
    return f"<sixlane.{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:40]}@{account.rpartition('@')[2]}>"


def written(mail: Outgoing, account: str, ident: str, now: datetime, answers: Iterable[str] = ()) -> str:
    """The message in base64url, as Gmail takes it. `answers` are the Message-IDs of the thread, the last one last."""
    message = EmailMessage(policy=_WIRE)
    message["From"] = account
    message["To"] = ", ".join(mail.to)
    if mail.cc:
        message["Cc"] = ", ".join(mail.cc)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = ident
    chain = [one for one in answers if _MESSAGE_ID.fullmatch(one)][-20:]
    if chain:
        message["In-Reply-To"] = chain[-1]
        message["References"] = " ".join(chain)
    message.set_content(mail.body, charset="utf-8", cte="base64")
    return base64.urlsafe_b64encode(message.as_bytes()).decode()


def chain_of(references: str, ident: str) -> list[str]:
    """The Message-IDs that an answer refers to, out of the headers of the mail that it answers."""
    last = _MESSAGE_ID.findall(ident[:300])[:1]
    return [*(one for one in dict.fromkeys(_MESSAGE_ID.findall(references[:5000])) if one not in last), *last]


def read_back(raw: str) -> tuple[str, Outgoing]:
    """Message-ID and words of a message that Gmail holds. Raises MailProblem for one that is not as ours are."""
    try:
        message = message_from_bytes(base64.urlsafe_b64decode(raw.rstrip("=") + "==="), policy=policy.SMTP)
        if message["Bcc"] is not None or message.is_multipart() or message.get_content_type() != "text/plain":
            raise MailProblem("Gmail holds another mail than the one that was written; nothing was sent.")
        to, cc = (tuple(found for _, found in getaddresses(message.get_all(name, []))) for name in ("To", "Cc"))
        body = str(message.get_content()).replace("\r\n", "\n")
    except (ValueError, LookupError, AttributeError) as error:
        raise MailProblem("Gmail holds a mail that cannot be read; nothing was sent.") from error
    return str(message["Message-ID"] or "").strip(), Outgoing(to, one_line(str(message["Subject"] or "")), body, cc)


def _address(value: str) -> str:
    try:
        return bare_address(value.strip())
    except ValueError:
        shown = " ".join(value.split())[:100]
        raise MailProblem(f"{shown!r} is not one bare e-mail address, such as user@example.com.") from None


def _once(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple({one.casefold(): one for one in reversed(list(addresses))}.values())[::-1]
