"""Searching the web over the forms of two providers, and what is told when a provider fails."""

import pytest
from support.search_server import KEY, small_web

from app.integrations.search import SearchFailed, SearchOptions, WebSearch


async def test_two_providers_give_addresses_and_say_what_is_wrong() -> None:
    with small_web() as web:
        tavily = SearchOptions("tavily", tavily_api_key=KEY, tavily_base_url=web.url)
        for options in (tavily, SearchOptions("searxng", searxng_url=f"{web.url}/")):
            hits = await WebSearch(options).find("tides", 6)
            assert [(hit.url, hit.title) for hit in hits] == [(f"{web.url}/tides.html", "Tides")]
        failing = {
            "answered 401": SearchOptions("tavily", tavily_api_key="wrong", tavily_base_url=web.url),
            "TAVILY_API_KEY": SearchOptions("tavily"),
            "answered 503": SearchOptions("searxng", searxng_url=f"{web.url}/broken"),
            "no result list": SearchOptions("searxng", searxng_url=f"{web.url}/tides.html?"),
            "cannot be reached": SearchOptions("searxng", searxng_url="http://127.0.0.1:1"),
            "SIXLANE_SEARCH is none": SearchOptions("none"),
        }
        for told, options in failing.items():
            with pytest.raises(SearchFailed, match=told):
                await WebSearch(options).find("tides", 6)
