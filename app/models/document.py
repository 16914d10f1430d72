"""The text of a document, and why there may be none."""

from dataclasses import dataclass

from app.models.errors import InvalidInput

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
READABLE = frozenset({PDF, DOCX, HTML, "text/plain", "text/markdown", "text/csv", "application/json"})
"""The types whose text can be read."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a document says, page by page in reading order; headings, lists and tables in Markdown where they are known.

    `total` is the number of its pages; `cut` says that it goes on beyond what was read.
    """

    media_type: str
    pages: tuple[str, ...]
    total: int
    cut: bool = False
    title: str = ""

    @property
    def text(self) -> str:
        """All of it; an empty line between two pages."""
        return "\n\n".join(page for page in self.pages if page)


class UnreadableDocument(InvalidInput):
    """The document has no text that can be had (422): damaged, encrypted, empty, only pictures, or too complex."""

    code = "document_damaged"
    title = "Unreadable document"
