"""A lean HTTP client: the load must not cost more than what it measures."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self


class Connection:
    """One kept-alive connection. Speaks as much HTTP/1.1 as our own servers need."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head

    @classmethod
    async def open(cls, port: int, key: str | None = None) -> Self:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        credential = f"Authorization: Bearer {key}\r\n" if key else ""
        return cls(reader, writer, f"Host: 127.0.0.1:{port}\r\n{credential}")

    async def post(self, path: str, body: Any) -> Any:
        """The JSON of a good answer. Raises for any other."""
        status, headers = await self._ask("POST", path, body)
        content = await self._content(headers)
        if status >= 400 or (status == 202 and path.endswith("/messages")):
            raise RuntimeError(f"POST {path} answered {status}: {content[:500]!r}")
        return json.loads(content)

    async def first_token(self, path: str, body: Any, mark: bytes) -> float:
        """Seconds from the request to the first piece of the stream that holds `mark`; reads the rest too."""
        started = time.perf_counter()
        status, _ = await self._ask("POST", path, body)
        assert status == 200, status
        found = 0.0
        while size := int(await self._reader.readline(), 16):
            piece = await self._reader.readexactly(size + 2)
            if not found and mark in piece:
                found = time.perf_counter() - started
        await self._reader.readline()
        return found

    async def _ask(self, method: str, path: str, body: Any) -> tuple[int, dict[str, str]]:
        raw = json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Type: application/json\r\nContent-Length: {len(raw)}"
        self._writer.write(head.encode() + b"\r\n\r\n" + raw)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in answer[1:] if line)
        return int(answer[0].split(" ")[1]), headers

    async def _content(self, headers: dict[str, str]) -> bytes:
        return await self._reader.readexactly(int(headers["content-length"]))

    def close(self) -> None:
        self._writer.close()


async def spread(connections: Sequence[Connection], jobs: Sequence[Any], work: Callable[..., Awaitable[Any]]) -> None:
    """Carry out the jobs, each connection one at a time."""
    waiting = iter(jobs)

    async def serve(connection: Connection) -> None:
        for job in waiting:
            await work(connection, job)

    await asyncio.gather(*(serve(connection) for connection in connections))
