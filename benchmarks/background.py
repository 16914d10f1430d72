"""Background runs: from the accepted request to the model's being called, on an idle machine."""

import asyncio
import time
from uuid import uuid4

from benchmarks.wire import Connection
from benchmarks.world import World


async def starts(world: World, number: int) -> tuple[float, float, float]:
    """Accept (p50), and accepted → model called (p50, p95), in ms."""
    connection = await Connection.open(world.api.port, world.key)
    accepted: dict[str, float] = {}
    waits: list[float] = []
    for _ in range(number):
        mark = f"bg-{uuid4().hex}"
        began = time.monotonic()
        await connection.post("/tasks", {"task_type": "delegation", "prompt": f"Say hello.\nMARK: {mark}"})
        accepted[mark] = time.monotonic()
        waits.append(accepted[mark] - began)
        await asyncio.to_thread(world.model.wait, f"marker={mark}&phase=finished")
        await asyncio.sleep(0.05)
    connection.close()
    called = {entry["marker"]: entry["started"] for entry in await asyncio.to_thread(world.model.log)}
    late = sorted(max(called[mark] - moment, 0.0) for mark, moment in accepted.items())
    accept = sorted(waits)[number // 2]
    return accept * 1e3, late[number // 2] * 1e3, late[min(int(number * 0.95), number - 1)] * 1e3
