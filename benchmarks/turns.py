"""Chat turns: processor time, throughput, time to the first token, and long conversations."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic_ai.conversation_store import ConversationRecord
from pydantic_ai.usage import RunUsage

from app.database.stores.entries import ConversationLog
from app.models.ids import new_id
from benchmarks.dialogue import PROMPT, history
from benchmarks.wire import Connection, spread
from benchmarks.world import Program, World

LONG = 1000


@dataclass(frozen=True)
class Load:
    """What one stretch of turns cost: CPU of the server and of PostgreSQL in ms a turn, the middle wait in ms."""

    cpu: float
    postgres: float
    per_second: float
    median: float


async def stretch(
    world: World, server: Program, concurrency: int, jobs: list[Any], work: Callable[[Connection, Any], Awaitable[Any]]
) -> Load:
    """Carry out the jobs over so many connections."""
    key = world.key if server is world.api else None
    connections = [await Connection.open(server.port, key) for _ in range(concurrency)]
    waits: list[float] = []

    async def timed(connection: Connection, job: Any) -> None:
        began = time.perf_counter()
        await work(connection, job)
        waits.append(time.perf_counter() - began)

    postgres, cpu, began = world.postgres_cpu(), server.cpu, time.perf_counter()
    await spread(connections, jobs, timed)
    seconds, cpu, postgres = time.perf_counter() - began, server.cpu - cpu, world.postgres_cpu() - postgres
    for connection in connections:
        connection.close()
    number = len(jobs)
    return Load(cpu / number * 1e3, postgres / number * 1e3, number / seconds, sorted(waits)[number // 2] * 1e3)


async def say(connection: Connection, conversation: str) -> None:
    """One turn of Sixlane."""
    answer = await connection.post(f"/conversations/{conversation}/messages", {"message": PROMPT})
    assert answer["status"] == "completed", answer


async def ask(connection: Connection, length: int) -> None:
    """One turn of the floor, after that many messages."""
    await connection.post("/chat", {"message": PROMPT, "history": length})


async def conversations(world: World, number: int, *, turns: int = 1) -> list[str]:
    """New conversations with some turns behind them."""
    connections = [await Connection.open(world.api.port, world.key) for _ in range(min(number, 8))]
    made: list[str] = []

    async def begin(connection: Connection, _: int) -> None:
        conversation = (await connection.post("/conversations", {"pattern_type": "chatbot"}))["id"]
        for _ in range(turns):
            await say(connection, conversation)
        made.append(conversation)

    await spread(connections, range(number), begin)
    for connection in connections:
        connection.close()
    return made


async def short(world: World, concurrency: int, number: int) -> dict[str, Load]:
    """Second turns of conversations, on each of the three servers."""
    jobs = await conversations(world, number)
    return {
        "floor": await stretch(world, world.floor, concurrency, [2] * number, ask),
        "bare": await stretch(world, world.bare, concurrency, [2] * number, ask),
        "sixlane": await stretch(world, world.api, concurrency, jobs, say),
    }


async def long(world: World, conversation: str, length: int, number: int) -> dict[str, Load]:
    """Turns that send a whole long history, which is `length` messages at first and grows by two with each."""
    lengths = [length + 2 * turn for turn in range(number)]
    return {
        "floor": await stretch(world, world.floor, 1, lengths, ask),
        "sixlane": await stretch(world, world.api, 1, [conversation] * number, say),
    }


async def long_conversation(world: World) -> str:
    """A conversation with a thousand messages in its log, none of which a run wrote."""
    (conversation,) = await conversations(world, 1, turns=0)
    async with world.database.across() as across:
        workspace = await across.directory.workspace("default")
    async with world.database.begin(workspace.id) as unit:
        log = ConversationLog(unit.connection, workspace.id)
        record = ConversationRecord(conversation_id=conversation, head_id=None, scope=str(workspace.id))
        ids: list[UUID] = [new_id() for _ in range(LONG)]
        await log.append(record, history(LONG), ids, usage=RunUsage(), deferred=None, stored=False)
    return conversation


async def first_tokens(world: World, number: int) -> dict[str, float]:
    """The middle wait for the first token of a stream that is alone, in ms."""
    floor = await Connection.open(world.floor.port)
    ours = await Connection.open(world.api.port, world.key)
    waits: dict[str, list[float]] = {"floor": [], "sixlane": []}
    for conversation in await conversations(world, number):
        waits["floor"].append(await floor.first_token("/stream", {"message": PROMPT}, b"event: token"))
        path, body = f"/conversations/{conversation}/messages", {"message": PROMPT, "stream": True}
        waits["sixlane"].append(await ours.first_token(path, body, b"event: message.delta"))
    floor.close()
    ours.close()
    return {name: sorted(found)[number // 2] * 1e3 for name, found in waits.items()}
