"""Gmail's JSON of a mail as lists and readers show it: headers in one line, the visible text, attachments by name."""

import base64
import binascii
import codecs
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import getaddresses
from typing import Any, cast

from app.agents.mail import Attachment, Letter, Mail, TooComplex
from app.agents.mail_text import Clock, html_text, plain_text, seen
from app.models.notification import bare_address

MOST_TEXT = 20_000
MOST_PARTS = 50
MOST_LINE = 500

_MOST_WALKED = 5000
_MOST_NESTED = 100
_MOST_BYTES = 4_000_000
_MOST_ADDRESSES = 20_000
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_CODECS = re.compile(
    r"utf-?8|utf-?16(?:-?[lb]e)?|(?:us-)?ascii|(?:iso-?)?8859-?\d{1,2}|(?:windows-?|cp)(?:125\d|437|85\d|866|932|949)|latin-?[1-9]"
    r"|koi8-?[rut]|gb2312|gbk|gb18030|big5(?:hkscs)?|shift-?jis|euc-?(?:jp|kr)|iso-?2022-?jp|mac-?roman|tis-?620"
)
Document = Mapping[str, Any]


def mail_of(message: Document) -> Mail:
    """A mail as lists show it."""
    headers, payload = _headers(message), _payload(message)
    parts = [payload, *(part for one in _parts(payload) for part in (one, *_parts(one)))]
    return Mail(
        id=_text(message, "id"),
        thread=_text(message, "threadId"),
        sender=_line(headers.get("from", "")),
        to=_line(headers.get("to", "")),
        subject=_line(headers.get("subject", "")),
        date=_date(message),
        snippet=seen(_text(message, "snippet"))[:MOST_LINE],
        unread="UNREAD" in _list(message, "labelIds"),
        has_attachments=any(_text(part, "filename") for part in parts[:_MOST_WALKED]),
    )


def letter_of(message: Document, clock: Clock | None = None, most: int = MOST_TEXT) -> Letter:
    """A mail in full. Raises TooComplex."""
    headers, found = _headers(message), _Found()
    clock = clock or Clock()
    _walk(_payload(message), found, clock)
    text = "\n\n".join(piece for piece in found.texts if piece)
    notes = list(found.notes)
    if len(text) > most:
        notes.append(f"The text was cut after {most} of {len(text)} characters.")
    return Letter(
        id=_text(message, "id"),
        thread=_text(message, "threadId"),
        sender=_line(headers.get("from", "")),
        to=_line(headers.get("to", "")),
        cc=_line(headers.get("cc", "")),
        subject=_line(headers.get("subject", "")),
        date=_date(message),
        text=text[:most],
        attachments=tuple(found.attachments),
        notes=tuple(dict.fromkeys(notes)),
    )


def header(message: Document, name: str) -> str:
    """A header as the mail has it, or an empty text."""
    return _headers(message).get(name.lower(), "")


def addresses(message: Document, *names: str) -> list[str]:
    """The bare addresses of these headers, each once, as they are written; what is no bare address is left out."""
    values = [header(message, name)[:_MOST_ADDRESSES] for name in names]
    found: dict[str, str] = {}
    for _, address in getaddresses([value for value in values if value]):
        try:
            found.setdefault(address.casefold(), bare_address(address))
        except ValueError:
            continue
    return list(found.values())


@dataclass
class _Found:
    texts: list[str] = field(default_factory=list[str])
    attachments: list[Attachment] = field(default_factory=list[Attachment])
    notes: list[str] = field(default_factory=list[str])
    leaves: int = 0


def _walk(payload: Document, found: _Found, clock: Clock) -> None:
    waiting: list[tuple[Document, int]] = [(payload, 0)]
    walked = 0
    while waiting:
        clock.check()
        part, depth = waiting.pop()
        walked += 1
        if walked > _MOST_WALKED or depth > _MOST_NESTED:
            raise TooComplex
        kind = _text(part, "mimeType").lower()
        if kind.startswith("multipart/"):
            chosen = [_best(_parts(part))] if kind == "multipart/alternative" and _parts(part) else _parts(part)
            if len(chosen) > _MOST_WALKED:
                raise TooComplex
            waiting.extend((one, depth + 1) for one in reversed(chosen))
            continue
        found.leaves += 1
        if found.leaves > MOST_PARTS:
            found.notes.append(f"Only the first {MOST_PARTS} parts were read.")
            return
        _leaf(part, kind, found, clock)


def _best(parts: list[Document]) -> Document:
    """Of several forms of one text the one that a mail program shows: HTML, even when it comes with pictures."""
    for part in reversed(parts):
        inner = [part, *_parts(part)[:MOST_PARTS]]
        if any(_text(one, "mimeType").lower() == "text/html" for one in inner):
            return part
    return parts[-1]


def _leaf(part: Document, kind: str, found: _Found, clock: Clock) -> None:
    body = _body(part)
    if _text(part, "filename") or kind not in ("text/plain", "text/html"):
        if _text(part, "filename") or body.get("attachmentId"):
            name, size = _line(_text(part, "filename"))[:200], body.get("size")
            found.attachments.append(
                Attachment(name or "unnamed", _line(kind)[:100], size if isinstance(size, int) else 0)
            )
        return
    data = body.get("data")
    if not isinstance(data, str):
        if body.get("attachmentId"):
            found.notes.append("A part of the text is so long that Gmail keeps it apart; it was not read.")
        return
    text = _decoded(data, part)
    if kind == "text/plain":
        found.texts.append(plain_text(text))
        return
    shown, dropped = html_text(text, clock)
    found.texts.append(shown)
    if dropped:
        found.notes.append("Hidden text was left out.")


def _decoded(data: str, part: Document) -> str:
    """The text of a body: base64url with or without its padding, in the charset that it names or in UTF-8."""
    try:
        raw = base64.urlsafe_b64decode(data[:_MOST_BYTES].rstrip("=") + "===")
    except (binascii.Error, ValueError):
        raw = b""
    named = _CHARSET.search(_headers_of(part).get("content-type", "")[:1000])
    charset = named[1].lower().replace("_", "-") if named else "utf-8"
    try:
        codec = codecs.lookup(charset).name if _CODECS.fullmatch(charset) else "utf-8"
        return raw.decode(codec, "replace")
    except (LookupError, UnicodeError):
        return raw.decode("utf-8", "replace")


def _line(value: str) -> str:
    """A header's value in one line, with encoded words read."""
    value = value[: 4 * MOST_LINE]
    if "=?" in value:
        value = _words(value)
    return " ".join(seen(value).split())[:MOST_LINE]


def _words(value: str) -> str:
    try:
        pieces: list[tuple[Any, str | None]] = decode_header(value)
    except (HeaderParseError, ValueError):
        return value
    return "".join(_word(piece, charset) for piece, charset in pieces)


def _word(piece: Any, charset: str | None) -> str:
    if isinstance(piece, str):
        return piece
    named = (charset or "utf-8").lower()
    return bytes(piece).decode(named if _CODECS.fullmatch(named) else "utf-8", "replace")


def _date(message: Document) -> str:
    try:
        moment = datetime.fromtimestamp(int(_text(message, "internalDate")) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


# The document is another's: nothing is taken for granted


def _payload(message: Document) -> Document:
    return _document(message.get("payload"))


def _body(part: Document) -> Document:
    return _document(part.get("body"))


def _document(value: object) -> Document:
    return cast("Document", value) if isinstance(value, dict) else {}


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _list(document: Document, name: str) -> list[Any]:
    value = document.get(name)
    return cast("list[Any]", value) if isinstance(value, list) else []


def _parts(part: Document) -> list[Document]:
    return [_document(one) for one in _list(part, "parts")]


def _headers(message: Document) -> dict[str, str]:
    return _headers_of(_payload(message))


def _headers_of(part: Document) -> dict[str, str]:
    """Header values by lower-case name; of several with one name, the first."""
    pairs: Iterable[tuple[str, str]] = (
        (_text(one, "name").lower(), _text(one, "value")) for one in map(_document, _list(part, "headers")[:500])
    )
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found
