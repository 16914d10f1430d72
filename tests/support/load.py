"""Work for a fleet: delegated tasks and chat turns, with tools, effects and streams, each with what must come of it."""

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from support.loopback import Loopback
from support.patient import PatientClient, Stream

Shapes = tuple[tuple[str, ...], ...]
Door = Literal["task", "turn", "stream"]
HOLD_SECONDS = 1.2
DOORS: tuple[Door, ...] = ("task", "turn", "stream", "stream")
MOSTLY_TASKS: tuple[Door, ...] = ("task", "task", "task", "stream")
"""More work than one worker takes, so that each of several holds runs."""
SHAPES: Shapes = (
    ("calculator", "slow"),
    ("slow-safe", "calculator"),
    ("calculator",),
    ("once", "calculator+safe"),
    ("slow",),
    ("safe", "slow"),
)
"""The steps before the final answer: a tool, or two in one response. All but the calculator are targets."""
QUICK_SHAPES: Shapes = (("calculator",), ("once",), ("safe", "calculator"), ("calculator+once",))


def targets(receiver: Loopback) -> list[dict[str, Any]]:
    """Where agents may post: `slow` ones hold, `safe` ones honour the Idempotency-Key."""
    holds = {"once": 20, "safe": 20, "slow": HOLD_SECONDS * 1000, "slow-safe": HOLD_SECONDS * 1000}
    return [
        {
            "name": name,
            "url": f"{receiver.url}/{name}?hold_ms={hold:.0f}",
            "approval": "allow",
            "idempotent": name.endswith("safe"),
        }
        for name, hold in holds.items()
    ]


@dataclass
class Order:
    """One run: its mark, its prompt, the marks of its effects, the answer that it must come to, and what it came to."""

    mark: str
    door: Door
    prompt: str
    effects: list[str]
    answer: str
    run: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0
    stream: Stream | None = None


def order(number: int, rng: random.Random, shapes: Shapes = SHAPES, doors: tuple[Door, ...] = DOORS) -> Order:
    """The order of that number."""
    mark, door, shape = f"r{number}", rng.choice(doors), rng.choice(shapes)
    effects: list[str] = []
    steps: list[dict[str, Any]] = []
    for step, tools in enumerate(shape):
        calls: list[dict[str, Any]] = []
        for name in tools.split("+"):
            if name == "calculator":
                calls.append({"name": name, "args": {"expression": f"{number} * 7"}})
                continue
            effect = f"{mark}.{name}.{step}"
            effects.append(effect)
            calls.append({"name": "http_post", "args": {"target": name, "data": {"note": f"MARK: {effect}"}}})
        steps.append({"tools": calls, "delay_ms": 30})
    answer = f"The answer of {mark} " + "is long enough to be streamed " * 3 + "and ends here."
    steps.append({"text": answer, "chunks": 16, "delay_ms": 60 if door == "stream" else 300})
    return Order(mark, door, f"SCRIPT: {json.dumps(steps)}\nMARK: {mark}", effects, answer)


async def carry_out(client: PatientClient, receiver: Loopback, wanted: Order) -> None:
    """Place the order and wait for its end, as a client would; `seconds` says how long that took."""
    began = time.monotonic()
    if wanted.door == "task":
        body = {"task_type": "delegation", "prompt": wanted.prompt, "targets": targets(receiver)}
        run_id = (await client.post("/tasks", body, f"t-{wanted.mark}"))["last_run_id"]
    else:
        made = await client.post("/conversations", {"targets": targets(receiver)}, f"c-{wanted.mark}")
        path, body = f"/conversations/{made['id']}/messages", {"message": wanted.prompt}
        if wanted.door == "stream":
            wanted.stream = await client.stream(path, body | {"stream": True}, f"m-{wanted.mark}")
            run_id = wanted.stream.run_id
        else:
            run_id = (await client.post(path, body, f"m-{wanted.mark}"))["run_id"]
    wanted.run = await client.ended(run_id)
    wanted.seconds = time.monotonic() - began


class Load:
    """Keeps a number of clients busy until told to stop; `orders` is everything that was asked for."""

    def __init__(
        self,
        client: PatientClient,
        receiver: Loopback,
        rng: random.Random,
        shapes: Shapes = SHAPES,
        doors: tuple[Door, ...] = DOORS,
    ) -> None:
        self.orders: list[Order] = []
        self._client = client
        self._receiver = receiver
        self._rng = rng
        self._shapes = shapes
        self._doors = doors
        self._numbers = itertools.count()

    async def run(self, clients: int, enough: Callable[[], bool]) -> None:
        """Place orders until there are enough, and see each of them to its end."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._one(enough))

    async def _one(self, enough: Callable[[], bool]) -> None:
        while not enough():
            wanted = order(next(self._numbers), self._rng, self._shapes, self._doors)
            self.orders.append(wanted)
            await carry_out(self._client, self._receiver, wanted)


@contextlib.asynccontextmanager
async def deciding(client: PatientClient, receiver: Loopback) -> AsyncGenerator[None]:
    """Decide every unknown outcome as somebody who looks at the receiver: what arrived, happened; else repeat."""

    async def decide() -> None:
        while True:
            for approval in (await client.get("/approvals?status=pending&limit=100"))["data"]:
                assert approval["kind"] == "unknown_outcome", approval
                arrived = (await asyncio.to_thread(receiver.get, "/_effects"))["by_marker"]
                mark = approval["arguments"]["data"]["note"].removeprefix("MARK: ")
                decision = {"decision": "happened" if arrived.get(mark) else "repeat"}
                await client.post(f"/approvals/{approval['id']}/decision", decision, conflict=True)
            await asyncio.sleep(0.4)

    task = asyncio.create_task(decide())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
