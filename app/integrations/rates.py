"""Rate limits: how often a key, a user, a trigger or an address may ask, counted in Valkey for all processes together.

A limit counts in windows that begin with the first request. One script counts all limits of all requests that came in
during the last round trip. While Valkey is away each process counts for itself: nothing fails, and nobody waits.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from app.integrations.valkey import redis_pool

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 0.25
"""How long requests wait for Valkey to count them; after that, nobody waits until it answers again."""
AGAIN_SECONDS = 1.0
_BATCH = 100
_KEPT_REFUSALS = 10_000

_COUNT = """
local told = {}
for i, key in ipairs(KEYS) do
  local count = redis.call('INCR', key)
  local left = redis.call('PTTL', key)
  if left < 0 then
    redis.call('PEXPIRE', key, ARGV[i])
    left = tonumber(ARGV[i])
  end
  told[i] = {count, left}
end
return told
"""

Who = tuple[str, str]
"""The kind of a limit and whom it counts: ("user", "0199…")."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Where a caller stands in one window: `limit` requests, `remaining` of them, `reset` seconds until the next."""

    kind: str
    limit: int
    window: int
    count: int
    reset: int

    @property
    def remaining(self) -> int:
        """Requests left in the window."""
        return max(0, self.limit - self.count)

    @property
    def exceeded(self) -> bool:
        """Whether this request is one too many."""
        return self.count > self.limit


@dataclass(slots=True)
class _Question:
    """A request that waits for its counts: `(count, seconds left)` of each limit, or None: count it yourself."""

    asked: tuple[Who, ...]
    answer: asyncio.Future[list[tuple[int, float]] | None]


class RateLimiter:
    """Counts requests against the limits of its kinds, given in the notation of the library: "600/minute".

    `serve` has to run beside the requests: it asks Valkey for all of them that came in during the last round trip.
    """

    def __init__(self, url: str, limits: Mapping[str, str]) -> None:
        self._limits: dict[str, RateLimitItem] = {kind: parse(notation) for kind, notation in limits.items()}
        self._redis: Any = Redis(connection_pool=redis_pool(url))  # Any: redis-py leaves its own types half open
        self._script: Any = None
        self._local = MemoryStorage()
        self._waiting: list[_Question] = []
        self._came = asyncio.Event()
        self._refused: dict[Who, tuple[float, Allowance]] = {}
        self.shared = False
        """Whether the counters of all processes are in use, not this process' own."""

    async def aclose(self) -> None:
        """Close the connection; whoever asks from now on is counted here."""
        self._set_shared(False, "closed")
        await self._redis.aclose(close_connection_pool=True)

    async def count(self, *asked: Who) -> Allowance:
        """Count one request against each limit; the tightest of them, which decides."""
        counted = await self._ask(asked) if self.shared else None
        if counted is None:
            counted = [await self._counted_here(who) for who in asked]
        allowances = [
            self._allowance(who, count, seconds) for who, (count, seconds) in zip(asked, counted, strict=True)
        ]
        return min(allowances, key=lambda one: (not one.exceeded, one.remaining))

    def refused(self, who: Who) -> Allowance | None:
        """The refusal that this caller still has to sit out here, without asking anybody."""
        found = self._refused.get(who)
        left = found[0] - time.monotonic() if found else 0.0
        if found is None or left <= 0:
            self._refused.pop(who, None)
            return None
        return replace(found[1], reset=math.ceil(left))

    async def serve(self) -> None:
        """Ask Valkey for whoever waits; while it is away, look for it. Runs until it is cancelled."""
        while True:
            if not self.shared:
                await self._look()
            if not self.shared:
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            await self._came.wait()
            questions, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            if not self._waiting:
                self._came.clear()
            await self._answer(questions)

    async def _ask(self, asked: tuple[Who, ...]) -> list[tuple[int, float]] | None:
        question = _Question(asked, asyncio.get_running_loop().create_future())
        self._waiting.append(question)
        self._came.set()
        return await question.answer

    async def _look(self) -> None:
        try:
            async with _patience(ANSWER_SECONDS):
                self._script = await self._redis.script_load(_COUNT)
        except Exception as error:
            log.debug("rates.away", reason=type(error).__name__)
        else:
            self._set_shared(True, "answers")

    async def _answer(self, questions: list[_Question]) -> None:
        asked = [who for question in questions for who in question.asked]
        counted: list[tuple[int, float]] | None = None
        try:
            async with _patience(ANSWER_SECONDS):
                counted = await self._run_script(asked)
        except Exception as error:  # whatever it is: those who wait must not wait for ever
            self._set_shared(False, type(error).__name__)
        finally:
            for question in questions:
                mine = None if counted is None else counted[: len(question.asked)]
                counted = None if counted is None else counted[len(question.asked) :]
                if not question.answer.done():
                    question.answer.set_result(mine)

    def _set_shared(self, shared: bool, reason: str) -> None:
        if shared != self.shared:
            log.info("rates.shared" if shared else "rates.local", reason=reason)
        self.shared = shared
        for question in self._waiting if not shared else ():
            if not question.answer.done():
                question.answer.set_result(None)

    async def _run_script(self, asked: list[Who]) -> list[tuple[int, float]]:
        items = [self._limits[kind] for kind, _ in asked]
        keys = [item.key_for("sixlane", *who) for item, who in zip(items, asked, strict=True)]
        windows = [item.get_expiry() * 1000 for item in items]
        try:
            told = await self._redis.evalsha(self._script, len(keys), *keys, *windows)
        except NoScriptError:  # it was restarted or emptied
            self._script = await self._redis.script_load(_COUNT)
            told = await self._redis.evalsha(self._script, len(keys), *keys, *windows)
        return [(int(count), milliseconds / 1000) for count, milliseconds in told]

    async def _counted_here(self, who: Who) -> tuple[int, float]:
        item = self._limits[who[0]]
        key = item.key_for("sixlane", *who)
        count = await self._local.incr(key, item.get_expiry())
        return count, await self._local.get_expiry(key) - time.time()

    def _allowance(self, who: Who, count: int, seconds: float) -> Allowance:
        item = self._limits[who[0]]
        told = Allowance(who[0], item.amount, item.get_expiry(), count, max(1, math.ceil(seconds)))
        if told.exceeded:
            if len(self._refused) >= _KEPT_REFUSALS:
                self._refused.clear()
            self._refused[who] = (time.monotonic() + seconds, told)
        return told


@contextlib.asynccontextmanager
async def _patience(seconds: float, looks: int = 5) -> AsyncGenerator[None]:
    """Raise TimeoutError for what is not done in `seconds`, in which the event loop looked that often for answers.

    A loop that is busy for half a second has not looked at all: an answer that lies there is not late.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as deadline:

        def look(left: int) -> None:
            nonlocal timer
            if left:
                timer = loop.call_later(seconds / looks, look, left - 1)
            else:
                deadline.reschedule(loop.time())

        timer = loop.call_later(seconds / looks, look, looks - 1)
        try:
            yield
        finally:
            timer.cancel()
