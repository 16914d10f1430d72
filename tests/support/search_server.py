"""A small web on loopback: a search in the forms of SearXNG and Tavily, and the pages that it finds.

`/broken/search` fails. Every request's path is noted in `seen`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from support.loopback import in_thread
from support.request_log import read_body, send_json

PAGE = """<html><head><title>On [tides](http://elsewhere.example)</title></head><body><h1>Tides</h1>
<p>The sea rises twice a day.</p><p><a href="/more.html">More of it</a></p></body></html>"""
KEY = "tvly-test"


@dataclass
class SmallWeb:
    """The server; `url` is known once it serves."""

    url: str = ""
    seen: list[str] = field(default_factory=list[str])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path: str = scope["path"]
        query = scope["query_string"].decode()
        self.seen.append(f"{path}?{query}" if query else path)
        if path == "/search" and scope["method"] == "POST":
            await self._tavily(scope, receive, send)
        elif path == "/search":
            await send_json(send, 200, {"results": self._hits("content")})
        elif path in ("/tides.html", "/more.html"):
            await self._page(send)
        else:
            await send_json(send, 503, {"error": "away"})

    async def _tavily(self, scope: Any, receive: Any, send: Any) -> None:
        wanted = json.loads(await read_body(receive))
        if dict(scope["headers"]).get(b"authorization") != f"Bearer {KEY}".encode():
            await send_json(send, 401, {"detail": "no such key"})
            return
        await send_json(send, 200, {"results": self._hits("content")[: wanted["max_results"]]})

    async def _page(self, send: Any) -> None:
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", str(len(PAGE)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE.encode()})

    def _hits(self, text: str) -> list[dict[str, Any]]:
        good = {"url": f"{self.url}/tides.html", "title": "Tides", text: "The sea rises."}
        return [good, {"url": "javascript:alert(1)", "title": "Bad", text: ""}, {"title": "no address"}]


@contextmanager
def small_web() -> Iterator[SmallWeb]:
    """The server in a thread of this process."""
    web = SmallWeb()
    with in_thread(web) as url:
        web.url = url
        yield web
