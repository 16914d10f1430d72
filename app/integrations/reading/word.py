"""The text of a Word document as its reader sees it: with numbers, notes, headers, and what content controls hold."""

import io
import zipfile
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from app.integrations.reading.unreadable import UnreadableError
from app.integrations.reading.word_numbering import Numbering

MOST_UNPACKED = 100_000_000
MOST_MEMBERS = 3_000
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LEFT_OUT = {f"{_W}{name}" for name in ("del", "moveFrom", "instrText", "delText", "pict", "object", "footnoteRef")}
_WRAPPERS = {f"{_W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo")}
_NOTES = {f"{_W}footnoteReference": "footnote", f"{_W}endnoteReference": "endnote"}


def read(data: bytes, most_characters: int) -> dict[str, Any]:
    """The text as one page, whether it is cut, and the title. Raises UnreadableError."""
    _check_package(data)
    import docx

    document = docx.Document(io.BytesIO(data))
    blocks: list[str] = []
    left = most_characters
    for text in _Reader(document).blocks():
        if not text.strip():
            continue
        blocks.append(text[:left])
        left -= len(text)
        if left <= 0:
            break
    if not blocks:
        raise UnreadableError("document_empty", "The Docx file has no text.")
    return {"pages": ["\n\n".join(blocks)], "total": 1, "cut": left <= 0, "title": document.core_properties.title or ""}


def _check_package(data: bytes) -> None:
    """Refuse what is no Word document, and archives that unpack to more than a document can need."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise UnreadableError("document_damaged", "The Docx file is damaged: it is no complete archive.") from None
    if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > MOST_UNPACKED:
        raise UnreadableError("document_too_complex", "The Docx file unpacks to more than is allowed.")
    if any(member.flag_bits & 1 for member in members):
        raise UnreadableError("document_encrypted", "The Docx file is protected by a password.")


class _Reader:
    """One document. `blocks` yields what stands in it, from the top down, as Markdown."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._numbering = Numbering(document)
        self._notes: list[tuple[str, str]] = []

    def blocks(self) -> Iterator[str]:
        """Headers, paragraphs and tables, footers, notes. Headers and footers that repeat are told once."""
        yield from self._margins("header")
        for element in _inside(self._document.element.body, "p", "tbl"):
            yield self._table(element) if element.tag == f"{_W}tbl" else self._paragraph(element)
        yield from self._margins("footer")
        for number, (kind, name) in enumerate(self._notes, 1):
            yield f"[^{number}]: {self._note(kind, name)}"

    def _margins(self, kind: str) -> Iterator[str]:
        seen: set[str] = set()
        for section in self._document.sections:
            parts = [getattr(section, kind)]
            if section.different_first_page_header_footer:
                parts.insert(0, getattr(section, f"first_page_{kind}"))
            for part in parts:
                text = "" if part.is_linked_to_previous else self._flat(part._element)
                if text and text not in seen:
                    seen.add(text)
                    yield text

    def _paragraph(self, element: Any) -> str:
        from docx.text.paragraph import Paragraph

        text = self._words(element).strip()
        if not text:
            return ""
        style = Paragraph(element, self._document._body).style
        name = (style.name or "") if style is not None else ""
        label = self._numbering.label(element, style)
        if name == "Title":
            return f"# {text}"
        if name.startswith("Heading "):
            level = name.removeprefix("Heading ")
            return f"{'#' * (int(level) if level.isdecimal() else 2)} {label.strip()} {text}".replace("  ", " ", 1)
        if label:
            return f"{label} {text}"
        return f"- {text}" if name.startswith("List") else text

    def _table(self, element: Any) -> str:
        """The table in Markdown; its first row is taken for the head. A cell over several columns is the first."""
        rows: list[list[str]] = []
        for row in _inside(element, "tr"):
            cells: list[str] = []
            for cell in _inside(row, "tc"):
                span = cell.find(f"{_W}tcPr/{_W}gridSpan")
                width = span.get(f"{_W}val", "1") if span is not None else "1"
                cells += [self._flat(cell).replace("|", "\\|"), *[""] * (min(int(width), 100) - 1)]
            rows.append(cells)
        width = max((len(row) for row in rows), default=0)
        if width == 0:
            return ""
        lines = [f"| {' | '.join(row + [''] * (width - len(row)))} |" for row in rows]
        return "\n".join([lines[0], f"|{' --- |' * width}", *lines[1:]])

    def _flat(self, element: Any) -> str:
        return " ".join(self._words(element).split())

    def _words(self, element: Any) -> str:
        """The text that is shown: with what was inserted, without what was deleted, field codes and hidden runs."""
        parts: list[str] = []
        for node in element:
            if node.tag in _LEFT_OUT or (node.tag == f"{_W}r" and _hidden(node)):
                continue
            if node.tag == f"{_W}t":
                parts.append(node.text or "")
            elif node.tag == f"{_W}tab":
                parts.append("\t")
            elif node.tag in (f"{_W}br", f"{_W}cr"):
                parts.append("\n")
            elif node.tag in _NOTES:
                self._notes.append((_NOTES[node.tag], node.get(f"{_W}id", "")))
                parts.append(f"[^{len(self._notes)}]")
            else:
                parts.append(self._words(node) + ("\n" if node.tag == f"{_W}p" else ""))
        return "".join(parts)

    @cached_property
    def _kept_notes(self) -> dict[tuple[str, str], Any]:
        from docx.oxml.parser import parse_xml

        found: dict[tuple[str, str], Any] = {}
        for relation in self._document.part.rels.values():
            for kind in _NOTES.values():
                if not relation.is_external and relation.reltype.endswith(f"/{kind}s"):
                    notes: Any = parse_xml(relation.target_part.blob)
                    found |= {(kind, note.get(f"{_W}id")): note for note in notes.iter(f"{_W}{kind}")}
        return found

    def _note(self, kind: str, name: str) -> str:
        note = self._kept_notes.get((kind, name))
        return self._flat(note) if note is not None else ""


def _inside(element: Any, *names: str) -> Iterator[Any]:
    """The children of these names, also those that stand in content controls and in what was inserted."""
    wanted = {f"{_W}{name}" for name in names}
    for child in element:
        if child.tag in wanted:
            yield child
        elif child.tag in _WRAPPERS:
            yield from _inside(child, *names)


def _hidden(run: Any) -> bool:
    mark = run.find(f"{_W}rPr/{_W}vanish")
    return mark is not None and mark.get(f"{_W}val", "true") not in ("false", "0", "off")
