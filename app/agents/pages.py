"""Pages of the web as text: fetched through the guard, turned into Markdown, failures told as tools tell them."""

import asyncio
import re
from dataclasses import dataclass

from html_to_markdown import ConversionOptions, convert
from pydantic_ai import ModelRetry, ToolFailed

from app.agents.context import Outbound
from app.agents.text import visible
from app.integrations.http import OutboundBlocked, OutboundError, OutboundResponse
from app.models.errors import InvalidInput

_MOST_BYTES = 3_000_000
_SECONDS = 20.0
_HEADERS = {"User-Agent": "Sixlane", "Accept": "text/html, text/*;q=0.9, application/json;q=0.8"}
_HTML = ("text/html", "application/xhtml+xml")
_TEXT = re.compile(r"text/|application/(?:[\w.+-]+\+)?(?:json|xml|yaml)")
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,300})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """What was found at an address. `url` is the one that gave it, after redirects."""

    url: str
    title: str | None
    text: str


async def fetch_page(outbound: Outbound, url: str, *, redirects: int) -> Page:
    """The page at an address. Raises ToolFailed for one that cannot be read, ModelRetry for what is no address."""
    try:
        answer = await outbound.request(
            "GET", url, headers=_HEADERS, seconds=_SECONDS, max_bytes=_MOST_BYTES, redirects=redirects
        )
    except OutboundBlocked as error:
        raise ToolFailed(error.detail) from error
    except InvalidInput as error:
        raise ModelRetry(error.detail) from error
    except OutboundError as error:
        raise ToolFailed(f"The page could not be read: {error.detail}.") from error
    if 300 <= answer.status < 400:
        raise ToolFailed(f"The page has moved to {visible(answer.headers.get('location', 'somewhere else'))[:500]}.")
    if answer.status >= 300:
        raise ToolFailed(f"The page could not be read: the server answered {answer.status}.")
    text = visible(await asyncio.to_thread(_readable, answer))
    title = _TITLE.search(answer.text[:20_000])
    return Page(answer.url, visible(title.group(1)).strip() if title else None, text)


def part_of(text: str, start: int, most: int) -> tuple[str, str]:
    """A part of a long text, and the note that says how to read on; the note is empty where nothing is left."""
    part = text[start : start + most]
    end = start + len(part)
    note = f"\n(characters {start} to {end} of {len(text)}; read on with start={end})" if end < len(text) else ""
    return part, note


def _readable(answer: OutboundResponse) -> str:
    kind = answer.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
    if kind in _HTML:
        options = ConversionOptions(skip_images=True, base_url=answer.url, max_depth=200, extract_metadata=False)
        try:
            return convert(answer.text, options).content or ""
        except Exception as error:
            raise ToolFailed("The page is too complex to be read.") from error
    if _TEXT.match(kind):
        return answer.text
    raise ToolFailed(f"The page is of the type {kind}, which cannot be read as text.")
