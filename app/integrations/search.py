"""Searching the web: one question to the provider that the operator chose, and addresses back. Best effort."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import httpx

Provider = Literal["tavily", "searxng", "duckduckgo", "none"]

_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Hit:
    """A page that a search found. `snippet` is what the provider shows of it."""

    url: str
    title: str
    snippet: str


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Which provider is asked, and how it is reached."""

    provider: Provider = "none"
    tavily_api_key: str | None = None
    tavily_base_url: str = "https://api.tavily.com"
    searxng_url: str | None = None


class SearchFailed(Exception):
    """The provider gave no answer that can be used; `detail` is a sentence for people."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class WebSearch:
    """The search of this installation."""

    def __init__(self, options: SearchOptions) -> None:
        self.options = options

    @property
    def available(self) -> bool:
        """Whether there is a provider at all."""
        return self.options.provider != "none"

    async def find(self, query: str, most: int) -> list[Hit]:
        """Up to `most` pages, best first. Raises SearchFailed."""
        ask = {"tavily": self._tavily, "searxng": self._searxng, "duckduckgo": self._duckduckgo}
        provider = self.options.provider
        if provider == "none":
            raise SearchFailed("There is no web search here: SIXLANE_SEARCH is none.")
        try:
            async with asyncio.timeout(_SECONDS):
                rows = await ask[provider](query, most)
        except TimeoutError:
            raise SearchFailed(f"The search at {provider} gave no answer within {_SECONDS:.0f} s.") from None
        except httpx.HTTPStatusError as error:
            raise SearchFailed(f"The search at {provider} answered {error.response.status_code}.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise SearchFailed(f"The search at {provider} cannot be reached: {reason}.") from error
        except ValueError as error:
            raise SearchFailed(f"The search at {provider} answered something that is no result list.") from error
        return rows[:most]

    async def _tavily(self, query: str, most: int) -> list[Hit]:
        key = self.options.tavily_api_key
        if not key:
            raise SearchFailed("The search at tavily needs TAVILY_API_KEY.")
        async with httpx.AsyncClient(timeout=_SECONDS) as client:
            answer = await client.post(
                f"{self.options.tavily_base_url.rstrip('/')}/search",
                headers={"Authorization": f"Bearer {key}"},
                json={"query": query, "max_results": most},
            )
        return _hits(answer, "url", "content")

    async def _searxng(self, query: str, most: int) -> list[Hit]:
        base = self.options.searxng_url
        if not base:
            raise SearchFailed("The search at searxng needs SIXLANE_SEARXNG_URL.")
        async with httpx.AsyncClient(timeout=_SECONDS) as client:
            answer = await client.get(f"{base.rstrip('/')}/search", params={"q": query, "format": "json"})
        return _hits(answer, "url", "content")

    async def _duckduckgo(self, query: str, most: int) -> list[Hit]:
        return _read(await asyncio.to_thread(_ask_duckduckgo, query, most), "href", "body")


def _ask_duckduckgo(query: str, most: int) -> Sequence[object]:
    from ddgs import DDGS  # pyright: ignore[reportUnknownVariableType]  late: only loaded where it is the provider
    from ddgs.exceptions import DDGSException

    try:
        client: Any = DDGS(timeout=10)
        return cast("list[object]", client.text(query, max_results=most))
    except DDGSException as error:
        if "no results" in str(error).lower():
            return []
        raise SearchFailed(f"The search at duckduckgo failed: {error}") from error


def _hits(answer: httpx.Response, url: str, text: str) -> list[Hit]:
    answer.raise_for_status()
    content: Any = answer.json()
    found: Any = cast("dict[str, Any]", content).get("results") if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise ValueError("no list of results")
    return _read(cast("list[object]", found), url, text)


def _read(rows: Sequence[object], url: str, text: str) -> list[Hit]:
    hits: list[Hit] = []
    for row in rows:
        if not isinstance(row, Mapping):
            continue
        fields = cast("Mapping[str, Any]", row)
        address = str(fields.get(url) or "")
        if address.startswith(("https://", "http://")) and not any(character.isspace() for character in address):
            hits.append(Hit(address[:2048], str(fields.get("title") or "")[:300], str(fields.get(text) or "")[:1000]))
    return hits
