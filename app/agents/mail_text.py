"""HTML mail as the text that a person would see: hidden text is dropped, and a hostile mail costs two seconds."""

import re
import time
from dataclasses import dataclass, replace
from html.parser import HTMLParser

from app.agents.mail import TooComplex
from app.agents.mail_style import Style, StyleSheet, Surface, style_of
from app.agents.text import visible

CPU_SECONDS = 2.0
MOST_HTML = 1_000_000
MOST_NESTED = 400

_LONG_TAG = re.compile(r"<[^<>]{8000,}>?")
_STYLE = re.compile(r"<style(?:\s[^<>]*)?>", re.IGNORECASE)
_UNSEEN = re.compile(
    "[\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0f\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0100-\U000e01ef\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
_SPACE = re.compile(r"[ \t\r\f\v\u00a0]+")
_VOID = re.compile("area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr")
_DROPPED = re.compile(
    "head|title|script|template|noscript|object|svg|math|iframe|noframes|noembed|audio|video|canvas|select|textarea"
    "|datalist|dialog|style"
)
_BLOCK = re.compile(
    "address|article|aside|blockquote|body|br|center|dd|details|div|dl|dt|fieldset|figure|footer|form|h[1-6]|header|hr"
    "|html|li|main|nav|ol|p|pre|section|table|tbody|tfoot|thead|tr|ul"
)
_CELL = ("td", "th")
_ENDS = {"p": ("p",), "li": ("li",), "td": _CELL, "th": _CELL, "tr": ("tr",), "dd": ("dd", "dt"), "dt": ("dd", "dt")}
"""Elements that end with the next of their kind, as people leave out the end."""
_HOLDS = re.compile("table|ul|ol|dl|div|body|blockquote")
_SHOWN_LINK = 300


class Clock:
    """CPU seconds that this thread may spend. `check` raises TooComplex when they are used up."""

    def __init__(self, seconds: float = CPU_SECONDS) -> None:
        self._until = time.thread_time() + seconds

    def check(self) -> None:
        """Go on only while there is time."""
        if time.thread_time() > self._until:
            raise TooComplex


def seen(text: str) -> str:
    """Text without characters that show nothing: zero width, direction marks, tags, fillers, controls."""
    return _UNSEEN.sub("", visible(text))


def plain_text(text: str) -> str:
    """Plain text in tidy lines."""
    return _tidy(seen(text.replace("\r\n", "\n").replace("\r", "\n")))


def html_text(html: str, clock: Clock | None = None) -> tuple[str, bool]:
    """The text of an HTML mail, and whether hidden text was left out of it. Raises TooComplex."""
    # One endless tag would keep the parser's patterns busy where no clock is looked at.
    html = _LONG_TAG.sub("", _without_comments(html[:MOST_HTML]))
    reader = _Reader(clock or Clock(), _sheet(html))
    reader.feed(html)
    reader.close()
    return _tidy(seen("".join(reader.parts))), reader.dropped


def _without_comments(html: str) -> str:
    first, *rest = html.split("<!--")
    kept = [part.partition(">")[2] if part.startswith((">", "->")) else part.partition("-->")[2] for part in rest]
    return first + "".join(kept)


def _sheet(html: str) -> StyleSheet:
    """The mail's style elements, wherever they stand: they hold for the text before them, too."""
    sheet = StyleSheet()
    for part in _STYLE.split(html)[1:]:
        sheet.add(part.partition("</")[0])
    return sheet


@dataclass(frozen=True, slots=True)
class _Open:
    tag: str
    surface: Surface
    hidden: bool = False
    href: str = ""
    begins: int = 0


class _Reader(HTMLParser):
    """Collects what is shown. Styles count as a mail program shows them: inline, and simple rules of a style sheet."""

    def __init__(self, clock: Clock, sheet: StyleSheet) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.dropped = False
        self._clock = clock
        self._open: list[_Open] = [_Open("", Surface())]
        self._sheet = sheet

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._clock.check()
        self._end_before(tag)
        if _BLOCK.fullmatch(tag) or tag in _CELL:
            self.parts.append(" " if tag in _CELL else "\n")
        if _VOID.fullmatch(tag):
            return
        above = self._open[-1]
        named = {name: value or "" for name, value in reversed(attrs)}  # of two with one name, the first counts
        style = style_of(tag, named, self._sheet)
        opened = _Open(tag, above.surface, above.hidden or _DROPPED.fullmatch(tag) is not None, begins=len(self.parts))
        if not opened.hidden:
            opened = replace(opened, surface=above.surface.under(style), hidden=_hides(style, named))
        self._push(replace(opened, href=named.get("href", "") if tag == "a" else ""))
        if tag == "li" and not opened.hidden:
            self.parts.append("- ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)  # in HTML the slash of <div/> means nothing

    def _end_before(self, tag: str) -> None:
        ends = _ENDS.get(tag) or (("p",) if tag != "br" and _BLOCK.fullmatch(tag) else ())
        for depth in range(len(self._open) - 1, 0, -1) if ends else ():
            if self._open[depth].tag in ends:
                del self._open[depth:]
                return
            if _HOLDS.fullmatch(self._open[depth].tag):
                return

    def _push(self, opened: _Open) -> None:
        if len(self._open) > MOST_NESTED:
            raise TooComplex
        self._open.append(opened)

    def handle_endtag(self, tag: str) -> None:
        self._clock.check()
        for depth in range(len(self._open) - 1, 0, -1):
            if self._open[depth].tag == tag:
                if tag == "a":
                    self._link(self._open[depth])
                del self._open[depth:]
                break
        if _BLOCK.fullmatch(tag):
            self.parts.append("\n")

    def _link(self, link: _Open) -> None:
        shown = "".join(self.parts[link.begins :]).strip()
        if shown and link.href.lower().startswith(("http://", "https://")) and link.href not in shown:
            self.parts.append(f" ({link.href[:_SHOWN_LINK]})")

    def handle_data(self, data: str) -> None:
        self._clock.check()
        above = self._open[-1]
        if above.hidden or not above.surface.shows:
            self.dropped = self.dropped or bool(data.strip() and not _DROPPED.fullmatch(above.tag))
        elif any(one.tag == "pre" for one in self._open[-4:]):
            self.parts.append(data)
        else:
            self.parts.append(_SPACE.sub(" ", data.replace("\n", " ")))

    def error(self, message: str) -> None:
        raise TooComplex


def _hides(style: Style, attributes: dict[str, str]) -> bool:
    return "hidden" in attributes or style.hides


def _tidy(text: str) -> str:
    """Lines without outer spaces, and at most one empty line in a row."""
    lines: list[str] = []
    for raw in text.split("\n"):
        line = _SPACE.sub(" ", raw).strip()
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip()
