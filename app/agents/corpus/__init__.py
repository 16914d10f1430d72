"""A few short articles that come with the product, so that research can be tried without a network or a key."""

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

_WORD = re.compile(r"[a-z]{3,}")
_COMMON = """
and are but for from has have how its not one that the their them they this was what when which who why will with
you your does did about into than then there
"""
_STOP = frozenset(_COMMON.split())


@dataclass(frozen=True, slots=True)
class Article:
    """An article; `name` is the one of its file."""

    name: str
    title: str
    text: str

    @property
    def address(self) -> str:
        """What it is cited and read by."""
        return f"corpus:{self.name}"


@cache
def articles() -> tuple[Article, ...]:
    """All articles, by name."""
    files = (path for path in resources.files(__name__).iterdir() if path.name.endswith(".md"))
    return tuple(sorted((_read(path.name, path.read_text("utf-8")) for path in files), key=lambda one: one.name))


def get(name: str) -> Article | None:
    """The article of that name."""
    return next((article for article in articles() if article.name == name), None)


def find(query: str, *, most: int) -> list[Article]:
    """Up to `most` articles that share words with the query, best first; none that is far behind the best."""
    wanted = stems(query)
    scored = [(_score(wanted, article), article) for article in articles()]
    enough = max((score for score, _ in scored), default=0.0) / 3
    scored = [pair for pair in scored if pair[0] > 0 and pair[0] >= enough]
    return [article for _, article in sorted(scored, key=lambda pair: (-pair[0], pair[1].name))[:most]]


def stems(text: str) -> set[str]:
    """The telling words of a text, cut to what they have in common with their other forms."""
    return {word[:6].rstrip("s") for word in _WORD.findall(text.lower()) if word not in _STOP}


def _score(wanted: set[str], article: Article) -> float:
    title, text = _stems_of(article)
    return 5.0 * len(wanted & title) + len(wanted & text)


@cache
def _stems_of(article: Article) -> tuple[set[str], set[str]]:
    return stems(f"{article.title} {article.name}"), stems(article.text)


def _read(name: str, content: str) -> Article:
    title, _, text = content.partition("\n")
    return Article(name.removesuffix(".md"), title.removeprefix("# ").strip(), text.strip())
