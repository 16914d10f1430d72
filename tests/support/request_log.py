"""The log of a test server: every request with its times, and waiting for one to get so far."""

import asyncio
import json
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qsl


@dataclass(slots=True)
class Entry:
    """One request. `started`, `first_byte` and `finished` are monotonic seconds, `started_at` is Unix time.

    `phase` goes from started over streaming and holding to finished; `outcome` is finished, aborted (the client
    left), cut (we broke off) or the status of a scripted error. `system` is the end of the model's instructions.
    """

    n: int
    marker: str
    step: int = 0
    key: str = ""
    stream: bool = False
    model: str = ""
    messages: int = 0
    body: str = ""
    tools: list[str] = field(default_factory=list)
    system: str = ""
    phase: str = "started"
    chunks: int = 0
    started: float = field(default_factory=time.monotonic)
    started_at: float = field(default_factory=time.time)
    first_byte: float | None = None
    finished: float | None = None
    outcome: str | None = None


class RequestLog:
    """All entries, those in flight, and what is held until it is released."""

    def __init__(self, keep: int = 200_000) -> None:
        self.entries: deque[Entry] = deque(maxlen=keep)
        self.counts: dict[tuple[str, int], int] = {}
        self._changed = asyncio.Condition()
        self._waiting = 0
        self._releases: dict[str, asyncio.Event] = {}
        self._next = 0

    def open(self, marker: str, **facts: Any) -> Entry:
        """Write down a request that has arrived."""
        self._next += 1
        entry = Entry(self._next, marker, **facts)
        self.entries.append(entry)
        return entry

    async def move(self, entry: Entry, phase: str, outcome: str | None = None) -> None:
        """The entry has come to a phase; whoever waits for it goes on."""
        entry.phase = phase
        if phase in ("streaming", "finished") and entry.first_byte is None:
            entry.first_byte = time.monotonic()
        if phase == "finished":
            entry.finished = time.monotonic()
            entry.outcome = outcome
        if self._waiting:
            async with self._changed:
                self._changed.notify_all()

    def fault_due(self, marker: str, step: int, times: int | None) -> bool:
        """Whether a fault that is to happen `times` times (None: always) happens now; counts it."""
        if times is None:
            return True
        seen = self.counts.get((marker, step), 0)
        self.counts[(marker, step)] = seen + 1
        return seen < times

    def held(self, marker: str) -> asyncio.Event:
        """The event that releases what is held for a marker."""
        return self._releases.setdefault(marker, asyncio.Event())

    def release(self, marker: str) -> None:
        """Release one marker, or with an empty one all of them."""
        names = [marker] if marker else list(self._releases)
        for name in names:
            self._releases.pop(name, asyncio.Event()).set()

    def in_flight(self) -> list[dict[str, Any]]:
        """What has started and not finished."""
        return [asdict(entry) for entry in self.entries if entry.finished is None]

    async def wait(self, query: dict[str, str]) -> dict[str, Any]:
        """Matches of marker, step, phase and outcome, as soon as there are `count` of them."""
        deadline = time.monotonic() + float(query.get("timeout", "10"))
        self._waiting += 1
        try:
            async with self._changed:
                while len(found := [e for e in self.entries if _matches(e, query)]) < int(query.get("count", "1")):
                    left = deadline - time.monotonic()
                    try:
                        await asyncio.wait_for(self._changed.wait(), max(left, 0.001))
                    except TimeoutError:
                        return {"matched": False, "entries": [asdict(e) for e in list(self.entries)[-20:]]}
        finally:
            self._waiting -= 1
        return {"matched": True, "entries": [asdict(e) for e in found]}

    async def answer(self, path: str, query_string: bytes) -> dict[str, Any] | None:
        """What the `/_…` doors answer; None for a path that is none of them."""
        query = dict(parse_qsl(query_string.decode()))
        if path == "/_log":
            return {"entries": [asdict(entry) for entry in self.entries]}
        if path == "/_state":
            return {"in_flight": self.in_flight(), "requests": self._next, "now": time.monotonic()}
        if path == "/_wait":
            return await self.wait(query)
        if path == "/_release":
            self.release(query.get("marker", ""))
            return {"released": True}
        if path == "/_reset":
            self.entries.clear()
            self.counts.clear()
            return {"reset": True}
        return None


def _matches(entry: Entry, query: dict[str, str]) -> bool:
    wanted = {name: query[name] for name in ("marker", "key", "outcome", "model") if name in query}
    if any(getattr(entry, name) != value for name, value in wanted.items()):
        return False
    if "step" in query and entry.step != int(query["step"]):
        return False
    phase = query.get("phase", "started")
    reached = {"started": True, "streaming": entry.first_byte is not None, "finished": entry.finished is not None}
    return reached.get(phase, entry.phase == phase)


async def read_body(receive: Any) -> bytes:
    """The whole body of an ASGI request. Raises ConnectionAbortedError when the client left before its end."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def send_bytes(send: Any, status: int, content: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    """One complete JSON answer."""
    base = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": base + (headers or [])})
    await send({"type": "http.response.body", "body": content})


async def send_json(send: Any, status: int, value: Any) -> None:
    """One JSON document."""
    await send_bytes(send, status, json.dumps(value).encode())
