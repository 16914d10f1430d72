"""Which text of an HTML mail is shown: the properties that hide text, inline or by simple rules of a style sheet."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MOST_RULES = 3000
_MOST_SHEET = 200_000
_COMPOUND = re.compile(r"([a-z][a-z0-9]*|\*)?((?:[.#][\w-]{1,100})*)", re.IGNORECASE)
_NUMBER = re.compile(r"(-?\d{0,6}(?:\.\d{0,6})?)(px|pt|em|rem|ex|ch|in|cm|mm|q|pc|vh|vw|%)?", re.IGNORECASE)
_HEX = re.compile(r"#([0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})", re.IGNORECASE)
_RGB = re.compile(r"rgba?\(([^()]{1,80})\)", re.IGNORECASE)
_NARROW = re.compile(r"max-(?:device-)?width|print|prefers-color-scheme", re.IGNORECASE)
_FAR = -900.0
_NAMES = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "lime": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "gray": (128, 128, 128),
    "grey": (128, 128, 128),
    "silver": (192, 192, 192),
    "snow": (255, 250, 250),
    "ivory": (255, 255, 240),
    "whitesmoke": (245, 245, 245),
    "ghostwhite": (248, 248, 255),
    "floralwhite": (255, 250, 240),
    "azure": (240, 255, 255),
    "mintcream": (245, 255, 250),
}
_USED = re.compile(
    "display|visibility|font-size|font|opacity|color|background|background-color|background-image|max-height|height"
    "|max-width|width|overflow|overflow-x|overflow-y|text-indent|left|top|right|margin-left|margin-top|position"
    "|mso-hide|clip|clip-path|transform|content-visibility"
)

Colour = tuple[int, int, int] | str | None
"""Red, green and blue; a word that is none of those known; None where it cannot be told."""


@dataclass(frozen=True, slots=True)
class Surface:
    """What text inherits: its colour, what it stands on, whether it has a size, whether it is visible."""

    colour: Colour = (0, 0, 0)
    ground: Colour = (255, 255, 255)
    tiny: bool = False
    invisible: bool = False

    @property
    def shows(self) -> bool:
        """Whether somebody would see text here."""
        return not (self.tiny or self.invisible or _same(self.colour, self.ground))

    def under(self, style: "Style") -> "Surface":
        """The surface inside an element of that style."""
        tiny = self.tiny if style.tiny is None else style.tiny
        invisible = self.invisible if style.invisible is None else style.invisible
        ground = style.ground if style.sets_ground else self.ground
        return Surface(style.colour if style.sets_colour else self.colour, ground, tiny, invisible)


@dataclass(frozen=True, slots=True)
class Style:
    """What an element's declarations mean for its text."""

    hides: bool = False
    tiny: bool | None = None
    invisible: bool | None = None
    sets_colour: bool = False
    colour: Colour = None
    sets_ground: bool = False
    ground: Colour = None


class StyleSheet:
    """The rules of a mail's style elements whose selectors are tags, classes and ids; the last part of each counts."""

    def __init__(self) -> None:
        self._rules: dict[str, list[tuple[frozenset[str], dict[str, str]]]] = {}
        self._count = 0

    def add(self, text: str) -> None:
        """Take in the text of a style element."""
        for selectors, body in _rules(_without_comments(text[:_MOST_SHEET])):
            declared = declarations(body)
            if declared:
                for selector in selectors.split(","):
                    self._add(selector, declared)

    def _add(self, selector: str, declared: dict[str, str]) -> None:
        words = re.split(r"[\s>+~]+", selector.strip()[-300:])
        found = _COMPOUND.fullmatch(words[-1])
        if not words[-1] or found is None or self._count >= _MOST_RULES:
            return
        self._count += 1
        tag = (found[1] or "*").lower()
        marks: list[str] = re.findall(r"[.#][\w-]+", found[2])
        key = min(marks, default=tag)
        needed = frozenset(marks if tag == "*" else [*marks, tag])
        self._rules.setdefault(key, []).append((needed, declared))

    def of(self, tag: str, attributes: Mapping[str, str]) -> dict[str, str]:
        """The declarations of the sheet for an element."""
        if not self._rules:
            return {}
        classes = attributes.get("class", "")[:1000].split()[:30]
        marks = [f".{name}" for name in classes] + ([f"#{attributes['id']}"] if attributes.get("id") else [])
        there = {tag, *marks}
        found: dict[str, str] = {}
        for key in ("*", tag, *marks):
            for needed, declared in self._rules.get(key, ()):
                if needed <= there:
                    found.update(declared)
        return found


def _without_comments(text: str) -> str:
    first, *rest = text.split("/*")
    return first + "".join(part.partition("*/")[2] for part in rest)


def _rules(text: str) -> list[tuple[str, str]]:
    """Selectors and bodies, also of those inside @media, but for narrow screens and paper."""
    found: list[tuple[str, str]] = []
    skipped, heads, start = 0, [""], 0
    for brace in re.finditer(r"[{}]", text):
        piece, start = text[start : brace.start()], brace.end()
        if brace[0] == "{":
            heads.append(piece.strip())
            skipped += _other(heads[-1])
            continue
        if len(heads) == 1:
            continue
        head = heads.pop()
        if not skipped and not head.startswith("@"):
            found.append((head, piece))
        skipped -= _other(head)
    return found[:_MOST_RULES]


def _other(head: str) -> bool:
    return head.startswith("@") and (_NARROW.search(head) is not None or not head.lower().startswith("@media"))


def declarations(body: str) -> dict[str, str]:
    """The declarations of a style attribute or rule that can hide text."""
    found: dict[str, str] = {}
    for part in body[:10_000].split(";"):
        name, colon, value = part.partition(":")
        name = name.strip().lower()
        if colon and _USED.fullmatch(name):
            found[name] = value.lower().replace("!important", "").strip()[:300]
    return found


def style_of(tag: str, attributes: Mapping[str, str], sheet: StyleSheet) -> Style:
    """What an element looks like by its attributes, the sheet, and its own style."""
    declared = _attributes(tag, attributes) | sheet.of(tag, attributes)
    if "style" in attributes:
        declared |= declarations(attributes["style"])
    if not declared:
        return Style()
    colour = _colour(declared["color"]) if "color" in declared else None
    ground, sets_ground = _ground(declared)
    return Style(
        hides=_hides(declared) or colour == "transparent",
        tiny=_tiny(declared),
        invisible=_invisible(declared.get("visibility")),
        sets_colour="color" in declared,
        colour=colour,
        sets_ground=sets_ground,
        ground=ground,
    )


def _attributes(tag: str, attributes: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    if attributes.get("bgcolor"):
        found["background-color"] = attributes["bgcolor"].strip().lower()[:50]
    if attributes.get("background"):
        found["background-image"] = "url()"
    colour = attributes.get("color" if tag == "font" else "text" if tag == "body" else "")
    if colour:
        found["color"] = colour.strip().lower()[:50]
    return found


def _hides(declared: Mapping[str, str]) -> bool:
    if declared.get("display") == "none" or "all" in declared.get("mso-hide", ""):
        return True
    if declared.get("content-visibility") == "hidden" or "scale(0" in declared.get("transform", "").replace(" ", ""):
        return True
    if (opacity := _number(declared.get("opacity"))) is not None and opacity <= 0.05:
        return True
    clipped = declared.get("clip-path", "").replace(" ", "")
    if "rect(0" in declared.get("clip", "").replace(" ", "") or clipped.startswith(
        ("inset(50%", "inset(100%", "circle(0")
    ):
        return True
    return _folded(declared) or _far_off(declared)


def _folded(declared: Mapping[str, str]) -> bool:
    """Whether the element has no room and shows nothing beyond it."""
    if not any(
        word in declared.get(name, "")
        for name in ("overflow", "overflow-x", "overflow-y")
        for word in ("hidden", "clip")
    ):
        return False
    sizes = (_number(declared.get(name)) for name in ("max-height", "height", "max-width", "width"))
    return any(size is not None and size <= 1 for size in sizes)


def _far_off(declared: Mapping[str, str]) -> bool:
    names = ["text-indent", "margin-left", "margin-top"]
    if declared.get("position") in ("absolute", "fixed", "relative"):
        names += ["left", "top", "right"]
    return any((size := _number(declared.get(name))) is not None and size < _FAR for name in names)


def _tiny(declared: Mapping[str, str]) -> bool | None:
    size = declared.get("font-size")
    if size is None and "font" in declared:
        size = next((word for word in declared["font"].replace("/", " ").split() if word[0].isdigit()), None)
    number = _NUMBER.fullmatch(size or "")
    if number is None or number[1] in ("", "-", "."):
        return False if size in ("medium", "small", "large", "x-small", "x-large", "xx-large") else None
    value = float(number[1])
    if value == 0:
        return True
    if number[2] in ("em", "%", "rem", "ex", "ch", "vw", "vh"):
        share = value / 100 if number[2] in ("%", "vw", "vh") else value
        return True if share < 0.15 else False if number[2] == "rem" else None  # a share of nothing is nothing
    return value <= 2 if number[2] in ("px", "pt") else False


def _invisible(visibility: str | None) -> bool | None:
    return None if visibility in (None, "", "inherit") else visibility in ("hidden", "collapse")


def _number(value: str | None) -> float | None:
    found = _NUMBER.fullmatch((value or "").strip())
    return float(found[1]) if found is not None and found[1] not in ("", "-", ".", "-.") else None


def _ground(declared: Mapping[str, str]) -> tuple[Colour, bool]:
    """What text stands on, and whether the element says so; None for a picture or a pattern."""
    value = " ".join(declared.get(name, "") for name in ("background", "background-color", "background-image"))
    if "url(" in value or "gradient" in value:
        return None, True
    for word in re.findall(r"rgba?\([^()]{1,80}\)|[#\w]+", value):
        colour = _colour(word)
        if isinstance(colour, tuple):
            return colour, True
    return None, False


def _colour(value: str) -> Colour:
    if value in ("inherit", "initial", "currentcolor", "unset", ""):
        return None
    if (found := _HEX.fullmatch(value)) is not None:
        digits = found[1] if len(found[1]) > 4 else "".join(2 * one for one in found[1])
        if len(digits) == 8 and int(digits[6:], 16) < 13:
            return "transparent"
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)
    if (found := _RGB.fullmatch(value)) is not None:
        return _rgb(re.split(r"[\s,/]+", found[1].strip()))
    return _NAMES.get(value, value)


def _rgb(words: list[str]) -> Colour:
    numbers = [_number(word) for word in words]
    if len(numbers) < 3 or any(one is None for one in numbers):
        return None
    if len(numbers) > 3 and (numbers[3] or 0) <= (5 if words[3].endswith("%") else 0.05):
        return "transparent"
    scaled = [(one or 0) * (2.55 if word.endswith("%") else 1) for one, word in zip(numbers, words, strict=True)]
    return round(scaled[0]), round(scaled[1]), round(scaled[2])


def _same(colour: Colour, ground: Colour) -> bool:
    if colour is None or ground is None:
        return False
    if isinstance(colour, tuple) and isinstance(ground, tuple):
        return max(abs(one - other) for one, other in zip(colour, ground, strict=True)) <= 12
    return colour in (ground, "transparent")
