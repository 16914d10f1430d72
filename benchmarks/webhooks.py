"""Webhooks accepted: signed events over 16 connections, each verified, stored with its run, committed and rung for."""

import asyncio
import base64
import hmac
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from benchmarks.dialogue import HOOK_SECRET
from benchmarks.turns import Load
from benchmarks.wire import Connection
from benchmarks.world import Program, World

CONCURRENCY = 16
_BODY = b'{"action": "opened", "number": 7, "text": "' + b"x" * 400 + b'"}'


@dataclass
class Hook:
    """A webhook with its fresh, signed requests."""

    path: str
    numbers: Iterator[int]

    def requests(self, number: int) -> list[bytes]:
        """So many events, each under an id of its own."""
        return [self._signed(f"msg_{next(self.numbers)}") for _ in range(number)]

    def _signed(self, event: str) -> bytes:
        stamp = str(int(time.time()))
        key = base64.b64decode(HOOK_SECRET.removeprefix("whsec_"))
        digest = hmac.digest(key, f"{event}.{stamp}.".encode() + _BODY, "sha256")
        lines = (
            f"POST {self.path} HTTP/1.1",
            "Host: 127.0.0.1",
            "Content-Type: application/json",
            f"Content-Length: {len(_BODY)}",
            f"webhook-id: {event}",
            f"webhook-timestamp: {stamp}",
            f"webhook-signature: v1,{base64.b64encode(digest).decode()}",
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + _BODY


async def hooks(world: World) -> tuple[Hook, Hook]:
    """The floor's webhook and one of ours."""
    connection = await Connection.open(world.api.port, world.key)
    trigger = {"scheme": "standard", "secret": HOOK_SECRET}
    wanted = {"task_type": "triggered", "prompt": "Look at it.", "trigger_config": trigger}
    task = await connection.post("/tasks", wanted)
    connection.close()
    numbers = count()
    return Hook("/webhook", numbers), Hook(f"/tasks/webhooks/{task['id']}", numbers)


async def accept(world: World, floor: Hook, ours: Hook, number: int) -> dict[str, Load]:
    """A stretch of events on each of the two servers."""
    return {
        "floor": await _stretch(world, world.floor, floor.requests(number), 200),
        "sixlane": await _stretch(world, world.api, ours.requests(number), 202),
    }


async def _stretch(world: World, server: Program, requests: list[bytes], wanted: int) -> Load:
    waits: list[float] = []
    waiting = iter(requests)
    good = f"HTTP/1.1 {wanted} ".encode()
    pairs = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(CONCURRENCY)]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for request in waiting:
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            content = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            waits.append(time.perf_counter() - began)
            if not head.startswith(good):
                raise RuntimeError(f"{head!r}{content!r}")

    postgres, cpu, began = world.postgres_cpu(), server.cpu, time.perf_counter()
    await asyncio.gather(*(serve(*pair) for pair in pairs))
    seconds, cpu, postgres = time.perf_counter() - began, server.cpu - cpu, world.postgres_cpu() - postgres
    for _, writer in pairs:
        writer.close()
    number = len(requests)
    return Load(cpu / number * 1e3, postgres / number * 1e3, number / seconds, sorted(waits)[number // 2] * 1e3)
