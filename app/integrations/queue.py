"""The doorbell: ARQ carries the word that a run can be claimed. Losing it costs latency, never work."""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self, cast
from uuid import UUID, uuid4

import pydantic_core
import structlog
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, WatchError

from app.integrations.valkey import redis_pool

log = structlog.get_logger(__name__)

QUEUE_NAME = "sixlane:bells"
WAKE = "wake"
"""The one function that a worker registers: it sets an event and returns."""

POLL_SECONDS = 0.01
BELL_SECONDS = 3600
QUIET_SECONDS = 1.0
WORD_SECONDS = 0.5
"""How long a worker that found no bell waits for the word that there is one, before it looks again without."""
KEEN_SECONDS = 0.25
"""How long it then polls: ARQ sees a bell only when the worker's clock has reached the ringer's."""
WORDS_KEPT = 100

_AWAY = (RedisError, OSError, TimeoutError)

# What each command that ARQ's worker sends is answered with while Valkey is away: an empty queue, a job that
# somebody else has already taken. The worker then simply polls again.
_EMPTY: dict[str, Callable[[], Any]] = {
    "ZRANGEBYSCORE": list,
    "INFO": dict,
    "DBSIZE": int,
    "ZCARD": int,
    "INCR": int,
    "EXISTS": lambda: 1,
}


def serialize(job: dict[str, Any]) -> bytes:
    """An ARQ job as JSON; results that JSON cannot hold are kept as text."""
    return pydantic_core.to_json(job, serialize_unknown=True)


def deserialize(data: bytes) -> dict[str, Any]:
    """An ARQ job from JSON. Raises ValueError."""
    return pydantic_core.from_json(data)


def worker_options(pool: "PatientRedis") -> dict[str, Any]:
    """The settings of ARQ's `Worker` that make it carry bells only.

    At SIGTERM the worker waits until bells in flight are done: a cancelled one would keep it from `on_shutdown`.
    """
    return {
        "queue_name": pool.default_queue_name,
        "redis_pool": pool,
        "poll_delay": POLL_SECONDS,
        "max_jobs": 100,
        "max_tries": 1,
        "keep_result": 0,
        "retry_jobs": False,
        "job_timeout": 5,
        "job_completion_wait": 5,
        "allow_abort_jobs": False,
        "log_results": False,
        "job_serializer": serialize,
        "job_deserializer": deserialize,
    }


def words_of(queue_name: str) -> str:
    """The list beside a queue: one word for each bell, taken by one waiting worker."""
    return f"{queue_name}:words"


class Doorbell:
    """Rings for runs. It never raises and never makes the caller wait for a Valkey that is away.

    ARQ's worker finds a bell only by asking for it again and again; so each bell is followed by a word in a list, on
    which an idle worker waits instead.
    """

    def __init__(self, url: str, *, queue_name: str = QUEUE_NAME) -> None:
        self._redis = ArqRedis(redis_pool(url), serialize, deserialize, queue_name)
        self._quiet_until = 0.0

    async def ring_run(self, run_id: UUID, lane: str) -> None:
        """Wake a worker to claim the run. Each ring has its own job id, so none is swallowed by an earlier one."""
        if time.monotonic() < self._quiet_until:
            return
        try:
            await self._redis.enqueue_job(WAKE, str(run_id), _job_id=uuid4().hex, _expires=BELL_SECONDS)
            await self._say_so()
        except _AWAY as error:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            log.warning("bell_lost", run_id=str(run_id), lane=lane, error=str(error))

    async def _say_so(self) -> None:
        words = words_of(self._redis.default_queue_name)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.lpush(words, b"")
            pipe.ltrim(words, 0, WORDS_KEPT - 1)
            await pipe.execute()

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose(close_connection_pool=True)


class PatientRedis(ArqRedis):
    """The connection of ARQ's worker. While Valkey is away it answers as an empty queue, so the worker polls on.

    ARQ's own worker ends with the first connection error; nothing that it sends through this client raises one.
    """

    def __init__(self, url: str | None = None, *, queue_name: str = QUEUE_NAME) -> None:
        super().__init__(redis_pool(url or "redis://localhost:6379"), serialize, deserialize, queue_name)
        self.away = False
        self._deaf = False
        self._keen_until = 0.0
        self._retry_at = 0.0 if url else float("inf")  # without an address there is nobody to ask yet

    def point_to(self, url: str) -> None:
        """Use another server from now on (its address may be known only after the worker was made)."""
        self.connection_pool = redis_pool(url)
        self._retry_at = 0.0

    def listen(self, room: bool) -> None:
        """Take bells only while there is room: those of a full worker are left to the others."""
        self._deaf = not room

    def unreachable(self) -> bool:
        """Whether the server was away a moment ago and it is too early to ask again."""
        return time.monotonic() < self._retry_at

    def failed(self, error: BaseException) -> None:
        """Note that the server did not answer."""
        if not self.away:
            log.warning("valkey_away", error=str(error))
        self.away = True
        self._retry_at = time.monotonic() + QUIET_SECONDS / 4

    def answered(self) -> None:
        """Note that the server answered."""
        if self.away:
            log.info("valkey_back")
        self.away = False

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command; its empty answer when the server is away.

        No bell is answered only when the word of one was heard, or a while has passed: ARQ then asks again.
        """
        if args[0] != "ZRANGEBYSCORE":
            return await self._ask(*args, **options)
        if self._deaf:
            return empty_answer(args)
        bells = await self._ask(*args, **options)
        if not bells and time.monotonic() >= self._keen_until:
            await self._hear()
        return bells

    async def _hear(self) -> None:
        """Wait for a word. One that a full worker heard is for the others."""
        words = words_of(self.default_queue_name)
        if await self._ask("BLPOP", words, WORD_SECONDS) is None:
            return
        self._keen_until = time.monotonic() + KEEN_SECONDS
        if self._deaf:
            await self._ask("LPUSH", words, b"")

    async def _ask(self, *args: Any, **options: Any) -> Any:
        send: Callable[..., Awaitable[Any]] = getattr(super(), "execute_command")  # noqa: B009 its stub is untyped
        if not self.unreachable():
            try:
                found = await send(*args, **options)
            except _AWAY as error:
                self.failed(error)
            else:
                self.answered()
                return found
        return empty_answer(args)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """A pipeline with the same patience."""
        assert shard_hint is None
        return PatientPipeline(self, transaction)

    @classmethod
    def of(cls, pool: Any) -> Self:
        """The worker's `ctx["redis"]`, typed."""
        assert isinstance(pool, cls)
        return pool


class PatientPipeline(Pipeline):
    """A pipeline that is executed, or answered as an empty queue."""

    def __init__(self, client: PatientRedis, transaction: bool) -> None:
        super().__init__(cast(ConnectionPool, client.connection_pool), client.response_callbacks, transaction, None)
        self._client = client

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command under WATCH at once."""
        send: Callable[..., Awaitable[Any]] = getattr(super(), "immediate_execute_command")  # noqa: B009 its stub is untyped
        if not self._client.unreachable():
            try:
                return await send(*args, **options)
            except _AWAY as error:
                await self._give_up(error)
        return empty_answer(args)

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Execute what is staged. Raises WatchError when a watched key changed (the worker expects that)."""
        staged = [args for args, _ in self.command_stack]
        if not self._client.unreachable():
            try:
                found = await super().execute(raise_on_error)
            except WatchError:
                raise
            except _AWAY as error:
                await self._give_up(error)
            else:
                self._client.answered()
                return found
        await self.reset()
        return empty_answers(staged)

    async def _give_up(self, error: BaseException) -> None:
        self._client.failed(error)
        if self.connection is not None:
            await self.connection.disconnect()
        self.watching = False
        await self.reset()


def empty_answer(args: Iterable[Any]) -> Any:
    """What a command is answered with while nobody answers it."""
    make = _EMPTY.get(str(next(iter(args))).split(" ", maxsplit=1)[0].upper())
    return make() if make else None


def empty_answers(commands: Iterable[Iterable[Any]]) -> list[Any]:
    """The answers of a pipeline that was not sent."""
    return [empty_answer(args) for args in commands]
