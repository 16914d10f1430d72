"""The text layer of a PDF, in the order in which people read it: columns, tables, words broken at line ends."""

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.integrations.reading.unreadable import UnreadableError

MOST_RECTS = 6_000
_NO_TITLES = ("(anonymous)", "untitled")
"""What programs write where nobody gave a title."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text on a page, in points from the lower left."""

    left: float
    bottom: float
    right: float
    top: float
    text: str


def read(data: bytes, most_pages: int, most_characters: int) -> dict[str, Any]:
    """Text by page, number of pages, whether it is cut, and title. Raises UnreadableError."""
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
    title = "" if title in _NO_TITLES else title
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
