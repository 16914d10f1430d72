"""HTML documents as Markdown: what a person would see of them, with their headings, lists and tables."""

from html import escape
from html.parser import HTMLParser

from html_to_markdown import ConversionOptions, convert

from app.agents.mail import TooComplex
from app.agents.mail_style import StyleSheet, Surface, style_of
from app.agents.mail_text import Clock, seen

_MOST = 5_000_000
_MOST_NESTED = 400
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_DROPPED = frozenset(
    {"head", "script", "style", "template", "noscript", "object", "svg", "math", "iframe", "noframes", "audio", "video"}
    | {"canvas", "select", "textarea", "datalist", "dialog", "title"}
)


def html_markdown(text: str) -> str:
    """The document's shown text as Markdown. Raises TooComplex."""
    reader = _Shown(text[:_MOST])
    options = ConversionOptions(skip_images=True, max_depth=_MOST_NESTED, extract_metadata=False)
    try:
        return seen(convert("".join(reader.parts), options).content or "").strip()
    except TooComplex:
        raise
    except Exception as error:
        raise TooComplex from error


class _Shown(HTMLParser):
    """The document again, without elements whose text nobody would see."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._clock = Clock(5.0)
        self._sheet = StyleSheet()
        self._open: list[tuple[str, Surface, bool]] = [("", Surface(), False)]
        for part in html.lower().split("<style")[1:]:
            self._sheet.add(part.partition(">")[2].partition("</")[0])
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._clock.check()
        if tag in _VOID:
            if not self._open[-1][2]:
                self.parts.append(f"<{tag}>")
            return
        _, above, hidden = self._open[-1]
        named = {name: value or "" for name, value in reversed(attrs)}
        style = style_of(tag, named, self._sheet)
        hidden = hidden or tag in _DROPPED or "hidden" in named or style.hides
        if len(self._open) > _MOST_NESTED:
            raise TooComplex
        self._open.append((tag, above if hidden else above.under(style), hidden))
        if not hidden:
            kept = "".join(f' {name}="{escape(named[name])}"' for name in ("href", "colspan", "start") if name in named)
            self.parts.append(f"<{tag}{kept}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)  # in HTML the slash of <div/> means nothing

    def handle_endtag(self, tag: str) -> None:
        self._clock.check()
        for depth in range(len(self._open) - 1, 0, -1):
            if self._open[depth][0] == tag:
                for name, _, hidden in reversed(self._open[depth:]):
                    if not hidden:
                        self.parts.append(f"</{name}>")
                del self._open[depth:]
                return

    def handle_data(self, data: str) -> None:
        self._clock.check()
        _, surface, hidden = self._open[-1]
        if not hidden and surface.shows:
            self.parts.append(escape(data, quote=False))
