"""Rate limits: how often a key, a user, a trigger or an address may ask, counted in Valkey for all processes together.

A limit counts in windows that begin with the first request. All limits of one request are counted by one script in
one round trip. While Valkey is away each process counts for itself: a limiter never makes a request fail or hang.
"""

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from app.integrations.valkey import redis_pool

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 0.25
"""How long a request waits for Valkey to count it, once in `AGAIN_SECONDS` while Valkey is away."""
AGAIN_SECONDS = 1.0
_AWAY = (RedisError, OSError, TimeoutError)
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


class RateLimiter:
    """Counts requests against the limits of its kinds, given in the notation of the library: "600/minute"."""

    def __init__(self, url: str, limits: Mapping[str, str]) -> None:
        self._limits: dict[str, RateLimitItem] = {kind: parse(notation) for kind, notation in limits.items()}
        self._redis: Any = Redis(connection_pool=redis_pool(url))  # Any: redis-py leaves its own types half open
        self._script: Any = None
        self._local = MemoryStorage()
        self._away = False
        self._ask_again = 0.0
        self._refused: dict[Who, tuple[float, Allowance]] = {}

    @property
    def shared(self) -> bool:
        """Whether the counters of all processes are in use, not this process' own."""
        return not self._away

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose(close_connection_pool=True)

    async def count(self, *asked: Who) -> Allowance:
        """Count one request against each limit; the tightest of them, which decides."""
        counted = await self._shared(asked) if self._worth_asking() else None
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
        last = found[1]
        return Allowance(last.kind, last.limit, last.window, last.count, math.ceil(left))

    def _allowance(self, who: Who, count: int, seconds: float) -> Allowance:
        item = self._limits[who[0]]
        told = Allowance(who[0], item.amount, item.get_expiry(), count, max(1, math.ceil(seconds)))
        if told.exceeded:
            if len(self._refused) >= _KEPT_REFUSALS:
                self._refused.clear()
            self._refused[who] = (time.monotonic() + seconds, told)
        return told

    def _worth_asking(self) -> bool:
        """Whether to ask Valkey; while it is away, one request in a while does."""
        now = time.monotonic()
        if self._away and now < self._ask_again:
            return False
        self._ask_again = now + AGAIN_SECONDS
        return True

    async def _shared(self, asked: tuple[Who, ...]) -> list[tuple[int, float]] | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                counted = await self._run_script(asked)
        except _AWAY as error:
            if not self._away:
                log.warning("rates.local", reason=type(error).__name__)
            self._away = True
            return None
        if self._away:
            log.info("rates.shared")
        self._away = False
        return [(int(count), milliseconds / 1000) for count, milliseconds in counted]

    async def _run_script(self, asked: tuple[Who, ...]) -> list[tuple[int, int]]:
        items = [self._limits[kind] for kind, _ in asked]
        keys = [item.key_for("sixlane", *who) for item, who in zip(items, asked, strict=True)]
        windows = [item.get_expiry() * 1000 for item in items]
        if self._script is not None:
            try:
                return await self._redis.evalsha(self._script, len(keys), *keys, *windows)
            except NoScriptError:
                pass
        self._script = await self._redis.script_load(_COUNT)
        return await self._redis.evalsha(self._script, len(keys), *keys, *windows)

    async def _counted_here(self, who: Who) -> tuple[int, float]:
        item = self._limits[who[0]]
        key = item.key_for("sixlane", *who)
        count = await self._local.incr(key, item.get_expiry())
        return count, await self._local.get_expiry(key) - time.time()
