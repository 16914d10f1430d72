"""A receiver of effects on loopback: it counts what arrives, so that a test need not believe our own tables.

POST anywhere is an effect: logged with its `Idempotency-Key` and the `MARK: name` of its body. The query of the
target's address says how it answers: `hold_ms=n`, `hold_s=n` (or until POST /_release?marker=…), `status=n`,
`cut=1` (take the effect, then break the connection off).
Doors of its own: GET /_log, /_state, /_wait?marker=&key=&count=, /_effects; POST /_release, /_reset.
"""

import argparse
import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from support.loopback import Loopback, in_thread, process, serve_and_announce
from support.request_log import RequestLog, read_body, send_json

_MARK = re.compile(rb"MARK: ?([\w.:-]+)")


class Receiver:
    """The ASGI application."""

    def __init__(self) -> None:
        self.log = RequestLog()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path: str = scope["path"]
        if path == "/_effects":
            await send_json(send, 200, self._effects())
        elif path.startswith("/_"):
            answer = await self.log.answer(path, scope["query_string"])
            await send_json(send, 404 if answer is None else 200, answer or {})
        elif scope["method"] == "GET":
            await send_json(send, 200, {"effects": len(self.log.entries)})
        else:
            await self._take(scope, receive, send)

    def _effects(self) -> dict[str, dict[str, int]]:
        return {
            "by_key": dict(Counter(entry.key for entry in self.log.entries)),
            "by_marker": dict(Counter(entry.marker for entry in self.log.entries)),
        }

    async def _take(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        try:
            raw = await read_body(receive)
        except ConnectionAbortedError:
            return  # half a request is no effect
        marks = _MARK.findall(raw)
        entry = self.log.open(
            marks[-1].decode() if marks else "",
            key=headers.get(b"idempotency-key", b"").decode(),
            body=raw[:2000].decode("utf-8", "replace"),
        )
        await self.log.move(entry, "holding")
        query = dict(parse_qsl(scope["query_string"].decode()))
        await self._hold(query, entry.marker)
        if "cut" in query:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await self.log.move(entry, "finished", "cut")
            raise ConnectionResetError  # the server drops the connection
        seen = sum(1 for other in self.log.entries if other.key == entry.key)
        await send_json(send, int(query.get("status", "200")), {"taken": True, "seen": seen, "number": entry.n})
        await self.log.move(entry, "finished", "finished")

    async def _hold(self, query: dict[str, str], marker: str) -> None:
        seconds = float(query.get("hold_ms", "0")) / 1000 + float(query.get("hold_s", "0"))
        if seconds <= 0:
            return
        release = asyncio.ensure_future(self.log.held(marker).wait())
        await asyncio.wait({release}, timeout=seconds)
        release.cancel()


@contextmanager
def receiver() -> Iterator[Loopback]:
    """The receiver in a thread of this process."""
    with in_thread(Receiver()) as url:
        yield Loopback(url)


@contextmanager
def receiver_process() -> Iterator[Loopback]:
    """The receiver as a process of its own."""
    with process("support.receiver") as server:
        yield server


def main() -> None:
    """Command line: `python -m support.receiver --port 0`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    serve_and_announce(Receiver(), parser.parse_args().port)


if __name__ == "__main__":
    main()
