"""The bus: live events of runs, and the word to stop one, between processes. Losing it costs latency, never work.

Each run has a Valkey stream whose entries have the id `<fence>-<seq>`. A script appends to it only when its end is
where the writer left it, so a superseded worker is refused and a stream that vanished or lost its end is noticed.
What is appended is also published, so that followers need no connection of their own.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol, cast
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from app.integrations.bus_wire import (
    ANNOUNCE,
    APPEND,
    RUNNING_SECONDS,
    Position,
    Publication,
    Script,
    Tail,
    arguments,
    channel_of,
    read_line,
    read_lines,
    stream_of,
)
from app.integrations.valkey import redis_pool
from app.models.frames import Frame

log = structlog.get_logger(__name__)

AWAY = (RedisError, OSError, TimeoutError)
CONTROL = "sixlane:control"
STEER = "sixlane:steer"
TAIL_PAGE = 200
ACK_SECONDS = 1.0
TICK_SECONDS = 1.0


class BusReceiver(Protocol):
    """Who hears what `Bus.serve` receives; none of these may block or raise."""

    def heard(self, run_id: UUID, frames: list[Frame]) -> None:
        """Events of a watched run, in order."""
        ...

    def cancel_heard(self, run_id: UUID) -> None:
        """Some process was asked to stop this run."""
        ...

    def steer_heard(self, run_id: UUID) -> None:
        """There is a message for this run, which runs in some process."""
        ...

    def missed(self) -> None:
        """The connection was lost and is back: anything may have been said meanwhile."""
        ...


class Bus:
    """One process' side of the bus."""

    def __init__(self, url: str) -> None:
        self._redis: Any = Redis(connection_pool=redis_pool(url))  # Any: redis-py leaves its own types half open
        self._pubsub: Any = None
        self._watched: set[bytes] = set()
        self._unwatched: set[bytes] = set()
        self._acks: dict[bytes, asyncio.Future[None]] = {}

    @property
    def connected(self) -> bool:
        """Whether this process hears the bus right now."""
        return self._pubsub is not None

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose(close_connection_pool=True)

    async def publish(
        self, publications: Sequence[Publication], announced: Sequence[Publication] = ()
    ) -> list[Position | None]:
        """Send everything in one round trip. For each publication None, or the stream's actual end, not appended.

        `announced` events are committed: they are made known even where the stream has passed them.
        Raises one of AWAY when Valkey does not answer.
        """
        calls = [(ANNOUNCE, arguments(one)) for one in announced] + [(APPEND, arguments(one)) for one in publications]
        answers = await self._call(calls)
        found = answers[len(announced) :]
        return [None if answer == b"ok" else Position.of(cast(bytes, answer)) for answer in found]

    async def take_over(self, run_id: UUID, fence: int) -> Tail:
        """Fence off every earlier writer of the run's stream and read what they had published.

        Raises one of AWAY.
        """
        key, mark = stream_of(run_id), Position(fence, 0)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.xadd(key, {"e": b""}, id=str(mark))
            pipe.expire(key, RUNNING_SECONDS)
            pipe.time()
            pipe.info("server")
            added, _, now, server = await pipe.execute(raise_on_error=False)
        if isinstance(added, Exception):
            # A later holder is writing: the first publication will be refused, the first commit too.
            log.info("stream_is_ahead", run_id=str(run_id), fence=fence)
        entries = await self._entries(run_id, 0)
        told = max((int(fields.get(b"s", 0)) for _, fields in entries), default=0)
        started = now[0] - server["uptime_in_seconds"]
        return Tail(mark, [read_line(seq, fields[b"e"]) for seq, fields in entries], lost_some=told <= started)

    async def tail(self, run_id: UUID, after: int) -> list[Frame]:
        """What the stream holds with a number above `after`, in order. Raises one of AWAY."""
        return [read_line(seq, fields[b"e"]) for seq, fields in await self._entries(run_id, after)]

    async def _entries(self, run_id: UUID, after: int) -> list[tuple[int, dict[bytes, bytes]]]:
        key, end = stream_of(run_id), "+"
        newest_first: list[tuple[int, dict[bytes, bytes]]] = []
        while True:
            page: list[tuple[bytes, dict[bytes, bytes]]] = await self._redis.xrevrange(key, end, "-", TAIL_PAGE)
            for entry_id, fields in page:
                seq = Position.of(entry_id).seq
                if 0 < seq <= after:
                    return newest_first[::-1]
                if seq > 0:
                    newest_first.append((seq, fields))
            if len(page) < TAIL_PAGE:
                return newest_first[::-1]
            end = "(" + page[-1][0].decode()

    async def ring_cancel(self, run_id: UUID) -> None:
        """Tell every process that the run was asked to stop. Never raises: the ledger says so too."""
        with contextlib.suppress(*AWAY):
            await self._redis.publish(CONTROL, run_id.bytes)

    async def ring_steer(self, run_id: UUID) -> None:
        """Tell every process that there is a message for the run. Never raises: the ledger has it."""
        with contextlib.suppress(*AWAY):
            await self._redis.publish(STEER, run_id.bytes)

    async def watch(self, run_id: UUID) -> None:
        """Hear the run's events from now on; returns when Valkey has confirmed, or is away."""
        channel = channel_of(run_id)
        self._unwatched.discard(channel)
        if channel in self._watched:
            return
        self._watched.add(channel)
        pubsub = self._pubsub
        if pubsub is None:
            return
        ack = self._acks[channel] = asyncio.get_running_loop().create_future()
        with contextlib.suppress(*AWAY):
            await pubsub.subscribe(channel)
            async with asyncio.timeout(ACK_SECONDS):
                await ack

    def unwatch(self, run_id: UUID) -> None:
        """No longer hear the run's events."""
        self._unwatched.add(channel_of(run_id))

    async def serve(self, receiver: BusReceiver) -> None:
        """Listen until cancelled, through every absence of Valkey."""
        pause, before = 0.05, False
        while True:
            try:
                async with contextlib.aclosing(self._listen()) as messages:
                    async for message in messages:
                        pause = 0.05
                        if message is not None:
                            self._dispatch(receiver, message)
                        elif before:
                            receiver.missed()
                        before = True
            except AWAY as error:
                if self._pubsub is not None:
                    log.warning("bus_away", error=str(error))
            finally:
                self._pubsub = None
            _heed_cancel()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def _listen(self) -> AsyncGenerator[Mapping[str, Any] | None, None]:
        """Messages as they come; first None, when the connection stands."""
        async with self._redis.pubsub() as pubsub:
            self._watched -= self._unwatched
            self._unwatched.clear()
            await pubsub.subscribe(CONTROL.encode(), STEER.encode(), *self._watched)
            self._pubsub = pubsub
            yield None
            while True:
                _heed_cancel()
                message = await pubsub.get_message(timeout=TICK_SECONDS)
                if message is not None:
                    yield message
                if self._unwatched:
                    gone, self._unwatched = self._unwatched, set()
                    self._watched -= gone
                    await pubsub.unsubscribe(*gone)

    def _dispatch(self, receiver: BusReceiver, message: Mapping[str, Any]) -> None:
        channel, kind = cast(bytes, message["channel"]), message["type"]
        if kind == "subscribe":
            ack = self._acks.pop(channel, None)
            if ack is not None and not ack.done():
                ack.set_result(None)
        elif kind == "message" and channel == CONTROL.encode():
            receiver.cancel_heard(UUID(bytes=cast(bytes, message["data"])))
        elif kind == "message" and channel == STEER.encode():
            receiver.steer_heard(UUID(bytes=cast(bytes, message["data"])))
        elif kind == "message":
            run_id = UUID(channel.rsplit(b":", 1)[1].decode())
            receiver.heard(run_id, read_lines(cast(bytes, message["data"])))

    async def _call(self, calls: list[tuple[Script, list[Any]]]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for script, arguments in calls:
                pipe.evalsha(script.sha, 1, *arguments)
            answers = await pipe.execute(raise_on_error=False)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            for script in (APPEND, ANNOUNCE):
                await self._redis.script_load(script.text)
            return await self._call(calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers


def _heed_cancel() -> None:
    """Stop a task that was cancelled where redis-py swallowed it: while it connects."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
