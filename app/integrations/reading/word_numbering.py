"""The numbers that Word shows before the paragraphs of lists and before headings: nothing of them is in the text."""

import re
from typing import Any

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_DEEPEST = 8
_ROMAN: tuple[tuple[str, int], ...] = (
    *(("m", 1000), ("cm", 900), ("d", 500), ("cd", 400), ("c", 100), ("xc", 90), ("l", 50), ("xl", 40)),
    *(("x", 10), ("ix", 9), ("v", 5), ("iv", 4), ("i", 1)),
)
_MOST_WRITTEN = 4_999
"""Greater numbers are written in digits, whatever the form."""


class Numbering:
    """Counts along a document, so ask for every paragraph, once and in order."""

    def __init__(self, document: Any) -> None:
        self._lists: dict[str, str] = {}
        self._levels: dict[str, dict[int, Any]] = {}
        self._starts: dict[str, dict[int, int]] = {}
        self._counts: dict[str, list[int | None]] = {}
        relations = document.part.rels.values()
        part = next((one.target_part for one in relations if one.reltype.endswith("/numbering")), None)
        if part is not None:
            self._learn(part.element)

    def label(self, paragraph: Any, style: Any) -> str:
        """What stands before the paragraph, indented by its level: a hyphen for a bullet, or its number; or nothing."""
        name, depth = _place(paragraph, style)
        level = self._levels.get(self._lists.get(name, ""), {}).get(depth)
        if level is None:
            return ""
        form, text = _value(level, "numFmt") or "decimal", _value(level, "lvlText") or ""
        numbers = self._count(name, depth)
        if form == "bullet":
            return f"{'  ' * depth}-"
        return "  " * depth + re.sub(r"%([1-9])", lambda found: self._number(name, int(found[1]) - 1, numbers), text)

    def _learn(self, numbering: Any) -> None:
        kinds = {
            kind.get(f"{_W}abstractNumId"): {int(one.get(f"{_W}ilvl")): one for one in kind.iter(f"{_W}lvl")}
            for kind in numbering.iter(f"{_W}abstractNum")
        }
        for one in numbering.iter(f"{_W}num"):
            name, kind = one.get(f"{_W}numId"), _value(one, "abstractNumId") or ""
            starts = {
                int(over.get(f"{_W}ilvl")): int(_value(over, "startOverride") or 1)
                for over in one.iter(f"{_W}lvlOverride")
            }
            # lists of one kind go on counting, unless one says where it starts
            self._lists[name] = f"{kind} {name}" if starts else kind
            self._levels[self._lists[name]] = kinds.get(kind, {})
            self._starts[self._lists[name]] = starts

    def _count(self, name: str, depth: int) -> list[int | None]:
        counts = self._counts.setdefault(self._lists[name], [None] * (_DEEPEST + 1))
        last = counts[depth]
        counts[depth] = self._start(name, depth) if last is None else last + 1
        counts[depth + 1 :] = [None] * (_DEEPEST - depth)
        return counts

    def _start(self, name: str, depth: int) -> int:
        level = self._levels[self._lists[name]].get(depth)
        starts = self._starts[self._lists[name]]
        return starts.get(depth, int((_value(level, "start") if level is not None else None) or 1))

    def _number(self, name: str, depth: int, numbers: list[int | None]) -> str:
        number = numbers[depth]
        number = self._start(name, depth) if number is None else number
        level = self._levels[self._lists[name]].get(depth)
        return _written(number, (_value(level, "numFmt") if level is not None else None) or "decimal")


def _place(paragraph: Any, style: Any) -> tuple[str, int]:
    """The list that a paragraph belongs to, by itself or by its style, and its level in it."""
    name, depth = None, None
    properties = paragraph.pPr
    while properties is not None or style is not None:
        numbers = properties.find(f"{_W}numPr") if properties is not None else None
        if numbers is not None:
            name = _value(numbers, "numId") if name is None else name
            depth = _value(numbers, "ilvl") if depth is None else depth
        properties = style.element.pPr if style is not None else None
        style = style.base_style if style is not None else None
    return name or "", min(int(depth or 0), _DEEPEST)


def _value(element: Any, name: str) -> str | None:
    found = element.find(f"{_W}{name}")
    return found.get(f"{_W}val") if found is not None else None


def _written(number: int, form: str) -> str:
    if not 0 < number <= _MOST_WRITTEN:
        return str(number)
    if form in ("lowerLetter", "upperLetter"):
        text = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
    elif form in ("lowerRoman", "upperRoman"):
        text = ""
        for sign, value in _ROMAN:
            text += sign * (number // value)
            number %= value
    else:
        text = f"{number:02}" if form == "decimalZero" else str(number)
    return text.upper() if form.startswith("upper") else text
