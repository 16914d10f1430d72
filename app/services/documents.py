"""The text of documents: which type some bytes are, by what they hold, and what they say."""

import asyncio
import codecs
import re

import pydantic_core

from app.agents.html_document import html_markdown
from app.agents.mail import TooComplex
from app.agents.text import visible
from app.integrations.documents import MOST_CHARACTERS, DocumentReader
from app.models.document import DOCX, HTML, PDF, Document, UnreadableDocument
from app.models.errors import UnsupportedMediaType

OPAQUE = frozenset({"image/png", "image/jpeg"})
"""Types that are kept but not read."""

_HEAD = 4096
_HTML_START = re.compile(r"\s*(?:<!--.*?-->\s*|<\?xml[^>]*>\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_NAMED = {"csv": "text/csv", "md": "text/markdown", "markdown": "text/markdown", "html": HTML, "htm": HTML}
_DECLARED = {"text/csv", "text/markdown", HTML, "application/json"}


def sniff(data: bytes, name: str = "", declared: str = "") -> str:
    """The media type of a file by its content; name and declared type only choose among kinds of text.

    Raises UnsupportedMediaType for what is none of the kinds that are taken, naming them.
    """
    for start, media_type in ((b"%PDF-", PDF), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg")):
        if start in data[:1024] if media_type == PDF else data.startswith(start):
            return media_type
    if data.startswith(b"PK\x03\x04") and b"word/" in data:
        return DOCX
    if data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise UnsupportedMediaType(
            "This is an old Office file, or one that is protected by a password. Send a .docx without one, or a PDF.",
            code="document_encrypted" if b"E\x00n\x00c\x00r\x00y\x00p\x00t" in data else "unsupported_file_type",
        )
    return _kind_of_text(data, name, declared)


def _kind_of_text(data: bytes, name: str, declared: str) -> str:
    head = _decoded(data[:_HEAD], final=len(data) <= _HEAD)
    if head is None or _controls(head):
        raise UnsupportedMediaType(
            "Files of this type are not taken; there are PDF, Docx, HTML, Markdown, text, CSV, JSON, PNG and JPEG.",
            code="unsupported_file_type",
        )
    if _HTML_START.match(head):
        return HTML
    if head.lstrip()[:1] in ("{", "[") and _is_json(data):
        return "application/json"
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    declared = declared.partition(";")[0].strip().lower()
    named = _NAMED.get(ending) or (declared if declared in _DECLARED else "text/plain")
    return named if named not in ("application/json", HTML) or ending in _NAMED else "text/plain"


def _is_json(data: bytes) -> bool:
    try:
        pydantic_core.from_json(data)
    except ValueError:
        return False
    return True


def _controls(text: str) -> bool:
    """Whether the text holds what no text does: that is a file of some other type."""
    return any(ord(char) < 32 and char not in "\t\n\r\f\x1b" for char in text)


def _decoded(data: bytes, *, final: bool = True) -> str | None:
    """The bytes as text in UTF-8, UTF-16 by its mark, or the Windows code page of Western Europe."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            return codecs.getincrementaldecoder(encoding)("replace").decode(data[len(mark) :], final=final)
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=final)
    except UnicodeDecodeError:
        return None if b"\x00" in data else data.decode("cp1252", "replace")


class Documents:
    """Reads documents of every type that is taken."""

    def __init__(self, reader: DocumentReader) -> None:
        self._reader = reader

    async def read(self, data: bytes, media_type: str) -> Document:
        """The document's text. Raises UnreadableDocument with the reason in words."""
        if not data.strip():
            raise UnreadableDocument("The file is empty.", code="document_empty")
        if media_type in (PDF, DOCX):
            found = await self._reader.read(data, media_type)
            return Document(
                media_type, tuple(visible(page) for page in found.pages), found.total, found.cut, found.title
            )
        if media_type in OPAQUE:
            raise UnreadableDocument(f"A file of the type {media_type} has no text.", code="document_without_text")
        text = _decoded(data)
        if text is None:
            raise UnreadableDocument("The file is no text in UTF-8, UTF-16 or Windows-1252.")
        try:
            text = await asyncio.to_thread(html_markdown if media_type == HTML else visible, text)
        except TooComplex:
            raise UnreadableDocument("The page is too complex to be read.", code="document_too_complex") from None
        text = text.replace("\r\n", "\n").strip()
        if not text:
            raise UnreadableDocument("The document has no text.", code="document_empty")
        return Document(media_type, (text[:MOST_CHARACTERS],), 1, len(text) > MOST_CHARACTERS)
