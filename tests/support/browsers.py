"""People's browsers: each has a cookie jar of its own, and follows what it is sent to."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from html import unescape
from urllib.parse import urljoin

import httpx
from support.google_server import GoogleServer


class Browser:
    """One browser, signed in at Google as somebody."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def go(self, address: str, *, stop: str | None = None) -> httpx.Response:
        """Open an address and follow it; with `stop`, only until it would lead to an address with that in it."""
        for _ in range(6):
            page = await self.client.get(address, follow_redirects=False)
            if not page.has_redirect_location:
                return page
            address = urljoin(address, page.headers["location"])
            if stop is not None and stop in address:
                return page
        raise AssertionError("redirected in a circle")

    async def answer(self, page: httpx.Response, word: str) -> httpx.Response:
        """Press a button of the page's form."""
        return await self.client.post(form_of(page), data={**hidden_of(page), "answer": word})


def form_of(page: httpx.Response) -> str:
    """Where the page's form leads."""
    found = re.search(r'<form method="post" action="([^"]+)"', page.text)
    assert found is not None, page.text
    return urljoin(str(page.url), unescape(found.group(1)))


def hidden_of(page: httpx.Response) -> dict[str, str]:
    """The hidden fields of the page's form."""
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)">', page.text))


@asynccontextmanager
async def browser(google: GoogleServer, account: str) -> AsyncGenerator[Browser]:
    """A browser whose person is signed in at Google."""
    async with httpx.AsyncClient(timeout=30, headers={"Sec-Fetch-Site": "cross-site"}) as client:
        await client.get(f"{google.url}/_sign_in", params={"account": account})
        yield Browser(client)
