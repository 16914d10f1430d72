"""A program of its own: reads one PDF or Docx from its input and writes its text, as JSON, under hard limits.

Such files come from anyone, and the parsers are C code: here they have no environment, no secrets, a bounded memory and
a bounded time, and a crash costs one document. It imports nothing of the product.
"""

import io
import itertools
import json
import statistics
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

MEMORY = 1 << 30
CPU_SECONDS = 20
MOST_RECTS = 6_000
MOST_UNPACKED = 100_000_000
MOST_MEMBERS = 3_000
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LEFT_OUT = {f"{_WORD}{name}" for name in ("del", "moveFrom", "instrText", "delText", "pict", "object", "footnoteRef")}


class UnreadableError(Exception):
    """The document cannot be read: a code and a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def main() -> None:
    """`document_reader.py pdf|docx MOST_PAGES MOST_CHARACTERS < file > json`."""
    kind, pages, characters = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _bound()
    data = sys.stdin.buffer.read()
    try:
        found = _pdf(data, pages, characters) if kind == "pdf" else _docx(data, characters)
        answer: dict[str, Any] = found
    except UnreadableError as error:
        answer = {"error": error.code, "detail": error.detail}
    except MemoryError:
        answer = {"error": "document_too_complex", "detail": "Reading the document takes more memory than is allowed."}
    except Exception as error:
        answer = {"error": "document_damaged", "detail": f"The {kind} file cannot be read ({type(error).__name__})."}
    sys.stdout.buffer.write(json.dumps(answer).encode())


def _bound() -> None:
    try:
        import resource
    except ImportError:  # not there on Windows; the caller's deadline remains
        return
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


# PDF


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text on a page, in points from the lower left."""

    left: float
    bottom: float
    right: float
    top: float
    text: str


def _pdf(data: bytes, most_pages: int, most_characters: int) -> dict[str, Any]:
    import pypdfium2
    import pypdfium2.raw

    try:
        document: Any = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        reason: Any = getattr(error, "err_code", None)
        if reason in (pypdfium2.raw.FPDF_ERR_PASSWORD, pypdfium2.raw.FPDF_ERR_SECURITY):
            raise UnreadableError("document_encrypted", "The PDF is protected by a password.") from None
        raise UnreadableError("document_damaged", "The PDF is damaged and cannot be opened.") from None
    texts: list[str] = []
    total, left = len(document), most_characters
    if total == 0:
        raise UnreadableError("document_empty", "The PDF has no pages.")
    for number in range(min(total, most_pages)):
        text = _page_text(document, number)[:left]
        texts.append(text)
        left -= len(text)
        if left <= 0:
            break
    if not any(text.strip() for text in texts):
        detail = "The PDF has no text, only pictures of it. Send one with a text layer."
        raise UnreadableError("document_without_text", detail)
    title = document.get_metadata_dict().get("Title") or ""
    return {"pages": texts, "total": total, "cut": len(texts) < total or left <= 0, "title": title}


def _page_text(document: Any, number: int) -> str:
    try:
        page = document[number]
    except Exception:
        return ""
    layer = page.get_textpage()
    count = layer.count_rects()
    if count > MOST_RECTS:
        return _joined(layer.get_text_range().replace("\r\n", "\n"))
    pieces: list[Piece] = []
    for at in range(count):
        left, bottom, right, top = box = layer.get_rect(at)
        text = layer.get_text_bounded(*box).replace("\r\n", " ").rstrip()
        if not text.strip() or (pieces and _told_already(box, text, pieces[-1])):
            continue
        pieces.append(Piece(left, bottom, right, top, text))
    return _joined("\n".join(_lines(pieces)))


def _told_already(box: Sequence[float], text: str, last: Piece) -> bool:
    """Whether the piece before holds this one: the hyphen at the end of a line is told twice."""
    if text.endswith("\x02") and last.text.endswith(text):
        return True
    left, bottom, right, top = box
    beside = left >= last.left - 1 and right <= last.right + 1
    return beside and bottom >= last.bottom - 1 and top <= last.top + 1


def _joined(text: str) -> str:
    """Words that were broken at the end of a line are whole again."""
    for mark in ("\x02", "\ufffe"):
        text = text.replace(f"{mark}\n", "").replace(mark, "-")
    return text.strip()


def _lines(pieces: Sequence[Piece], depth: int = 0) -> Iterator[str]:
    """The lines of a page, or of a column of it, in the order in which people read them."""
    gutter = _gutter(pieces) if depth < 3 else None
    if gutter is None:
        yield from _rows(pieces)
        return
    left: list[Piece] = []
    right: list[Piece] = []
    across: list[Piece] = []
    for piece in sorted(pieces, key=lambda one: -one.top):
        if piece.left < gutter < piece.right:
            if left or right:
                yield from _rows(across)
                yield from _lines(left, depth + 1)
                yield from _lines(right, depth + 1)
                left, right, across = [], [], []
            across.append(piece)
        else:
            (left if piece.right <= gutter else right).append(piece)
    yield from _rows(across)
    yield from _lines(left, depth + 1)
    yield from _lines(right, depth + 1)


def _gutter(pieces: Sequence[Piece]) -> float | None:
    """Where the space between two columns of prose is; cells of a table are too short to make columns."""
    if len(pieces) < 8:
        return None
    start, end = min(one.left for one in pieces), max(one.right for one in pieces)
    width = end - start
    best: tuple[int, float] | None = None
    for step in range(30, 71, 2):
        at = start + width * step / 100
        left = [one for one in pieces if one.right <= at]
        right = [one for one in pieces if one.left >= at]
        across = len(pieces) - len(left) - len(right)
        if min(len(left), len(right)) < 4 or across > len(pieces) * 0.25:
            continue
        filled = (
            _fill(left, at - start) > 0.5
            and _fill(right, end - at) > 0.5
            and _beside(left, right)
            and _apart(left, right)
        )
        if filled and (best is None or across < best[0]):
            best = across, at
    return best[1] if best is not None else None


def _fill(pieces: Sequence[Piece], width: float) -> float:
    """How much of a column's width its lines take, in the middle of them."""
    rows = _grouped(pieces)
    return statistics.median(max(one.right for one in row) - min(one.left for one in row) for row in rows) / width


def _beside(left: Sequence[Piece], right: Sequence[Piece]) -> bool:
    low = max(min(one.bottom for one in left), min(one.bottom for one in right))
    high = min(max(one.top for one in left), max(one.top for one in right))
    return high > low


def _apart(left: Sequence[Piece], right: Sequence[Piece]) -> bool:
    return min(one.left for one in right) - max(one.right for one in left) > 6


def _grouped(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Pieces that stand on one line together, from the top down, each line from left to right."""
    rows: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda one: -(one.top + one.bottom)):
        middle = (piece.top + piece.bottom) / 2
        row = rows[-1] if rows else None
        if row is not None and row[0].bottom <= middle <= row[0].top:
            row.append(piece)
        else:
            rows.append([piece])
    return [sorted(row, key=lambda one: one.left) for row in rows]


def _rows(pieces: Sequence[Piece]) -> Iterator[str]:
    rows = _grouped(pieces)
    previous: list[Piece] | None = None
    for row in rows:
        height = max(one.top - one.bottom for one in row)
        if previous is not None and min(one.bottom for one in previous) - max(one.top for one in row) > 1.3 * height:
            yield ""
        yield _row(row)
        previous = row


def _row(row: Sequence[Piece]) -> str:
    """The text of a line; cells that stand far apart are parted by a tabulator."""
    text = row[0].text
    for before, piece in itertools.pairwise(row):
        gap, height = piece.left - before.right, max(piece.top - piece.bottom, before.top - before.bottom)
        text += ("\t" if gap > 0.9 * height else " " if gap > 0.12 * height else "") + piece.text
    return text


# Docx


def _docx(data: bytes, most_characters: int) -> dict[str, Any]:
    _check_package(data)
    import docx
    from docx.table import Table

    document = docx.Document(io.BytesIO(data))
    blocks: list[str] = []
    left = most_characters
    for block in document.iter_inner_content():
        text = _table(block) if isinstance(block, Table) else _paragraph(block)
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


def _paragraph(paragraph: Any) -> str:
    text = _words(paragraph._p).strip()
    style = (paragraph.style.name or "") if paragraph.style is not None else ""
    if not text:
        return ""
    if style == "Title":
        return f"# {text}"
    if style.startswith("Heading "):
        level = style.removeprefix("Heading ")
        return f"{'#' * (int(level) if level.isdecimal() else 2)} {text}"
    properties = paragraph._p.pPr
    listed = style.startswith("List") or (properties is not None and properties.numPr is not None)
    return f"- {text}" if listed else text


def _words(element: Any) -> str:
    """The text that is shown: with what was inserted, without what was deleted, field codes and hidden runs."""
    parts: list[str] = []
    for node in element:
        if node.tag in _LEFT_OUT:
            continue
        if node.tag == f"{_WORD}t":
            parts.append(node.text or "")
        elif node.tag == f"{_WORD}tab":
            parts.append("\t")
        elif node.tag in (f"{_WORD}br", f"{_WORD}cr"):
            parts.append("\n")
        elif node.tag == f"{_WORD}r" and _hidden(node):
            continue
        else:
            parts.append(_words(node))
    return "".join(parts)


def _hidden(run: Any) -> bool:
    mark = run.find(f"{_WORD}rPr/{_WORD}vanish")
    return mark is not None and mark.get(f"{_WORD}val", "true") not in ("false", "0", "off")


def _table(table: Any) -> str:
    """The table in Markdown; its first row is taken for the head."""
    rows: list[list[str]] = []
    for row in table._tbl.tr_lst:
        cells = [" ".join(_words(cell).split()).replace("|", "\\|") for cell in row.tc_lst]
        rows.append(cells)
    width = max((len(row) for row in rows), default=0)
    if width == 0:
        return ""
    lines = [f"| {' | '.join(row + [''] * (width - len(row)))} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * width}", *lines[1:]])


if __name__ == "__main__":
    main()
