"""Taking webhooks in: each request is verified over its raw bytes, then stored with the run it begins in one commit.

Requests that come while a commit is on its way share the next one: a commit costs the same for one and for fifty.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast
from uuid import UUID

from app.database.connection import Database
from app.database.stores.triggers import Standing
from app.models.errors import Gone, RateLimited, Unavailable, WebhookRefused
from app.models.task import Task
from app.models.trigger import TriggerConfig, WebhookAnswer
from app.services.inbound_batch import Judged, event_of, write
from app.services.payloads import Payload
from app.services.signatures import Verdict, key_of, new_secret, verify
from app.services.triggers import PATTERN, Armed, Gate, arm, takes_unsigned

CACHE_SECONDS = 1.0
MOST_AT_ONCE = 50

_CACHED_TASKS = 10_000
_ATTEMPTS = 3
_NOBODY = TriggerConfig()
_NOBODYS_KEY = key_of("standard", new_secret())

Spawn = Callable[[Coroutine[Any, Any, None], str], object]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request at a webhook: lower-case headers, raw body. `at_home`: the owner sent it from this very machine."""

    task_id: UUID
    headers: Mapping[str, str]
    body: bytes
    at_home: bool = False


@dataclass(frozen=True, slots=True)
class Challenge:
    """Slack asks whether this address is ours; it wants its word back."""

    word: str


def judge(armed: Armed, incoming: Incoming, gate: Gate) -> Verdict:
    """Whether the request may come in. Unsigned ones may only where the task asks for no signature, from home."""
    if armed.keys:
        return verify(armed.config, armed.keys, incoming.headers, incoming.body, armed.clock)
    return Verdict(incoming.at_home and takes_unsigned(armed.config, armed.secret_ids, gate))


@dataclass(slots=True)
class _Waiting:
    """A request that was judged and waits for its commit."""

    judged: Judged
    done: "asyncio.Future[WebhookAnswer | None]"

    def settle(self, outcome: WebhookAnswer | BaseException | None) -> None:
        if self.done.done():
            return  # the sender has gone
        if isinstance(outcome, BaseException):
            self.done.set_exception(outcome)
        else:
            self.done.set_result(outcome)


@dataclass
class Receiver:
    """The webhook door of one process. `spawn` runs its commits beside the requests."""

    database: Database
    gate: Gate
    spawn: Spawn
    _cache: dict[UUID, Armed] = field(default_factory=dict[UUID, Armed])
    _pending: list[_Waiting] = field(default_factory=list[_Waiting])
    _committing: bool = False

    async def receive(
        self, incoming: Incoming, counted: Callable[[], Awaitable[None]] | None = None
    ) -> WebhookAnswer | Challenge:
        """Take one request in; what it says is true once it is answered, and stays so.

        `counted` is asked once the request is known to be genuine: strangers use up nobody's allowance.
        Raises WebhookRefused for whatever is not let in, Gone for a task that is disabled, paused or finished,
        RateLimited, and Unavailable when the database is away.
        """
        for attempt in range(_ATTEMPTS):
            armed, verdict = await self._admitted(incoming, anew=attempt > 0)
            if counted is not None and attempt == 0:
                await counted()
            payload = Payload(incoming.body, incoming.headers)
            if armed.config.scheme == "slack" and (word := _challenge(payload)) is not None:
                return Challenge(word)
            _check_on(armed.task)
            answer = await self._stored(armed, verdict, payload)
            if answer is not None:
                return answer
        raise Unavailable("The task is being changed just now.", retry_after=1)

    async def _admitted(self, incoming: Incoming, *, anew: bool) -> tuple[Armed, Verdict]:
        """The task and the verdict on the request. What is not let in by memory is judged once more by the ledger."""
        known = None if anew else self._cache.get(incoming.task_id)
        if known is not None and monotonic() - known.read_at < CACHE_SECONDS:
            verdict = judge(known, incoming, self.gate)
            if verdict.holds and not _is_off(known.task):
                return known, verdict
        armed = await self._armed(incoming.task_id)
        if armed is None:
            verify(_NOBODY, (_NOBODYS_KEY,), incoming.headers, incoming.body, 0)  # as long as for one that is there
            raise WebhookRefused
        verdict = judge(armed, incoming, self.gate)
        if not verdict.holds:
            raise WebhookRefused
        return armed, verdict

    async def _armed(self, task_id: UUID) -> Armed | None:
        async with self.database.across() as unit:
            standing = (await unit.triggers.standing([task_id])).get(task_id)
        if standing is None or standing.task.pattern != PATTERN:
            self._cache.pop(task_id, None)
            return None
        return self._remember(standing)

    def _remember(self, standing: Standing) -> Armed:
        if len(self._cache) >= _CACHED_TASKS:
            self._cache.clear()
        armed = self._cache[standing.task.id] = arm(standing, self.gate)
        return armed

    async def _stored(self, armed: Armed, verdict: Verdict, payload: Payload) -> WebhookAnswer | None:
        """Have the event written with the next commit. None when the task has changed since the event was judged."""
        judged = Judged(armed, verdict, payload, event_of(armed, payload))
        waiting = _Waiting(judged, asyncio.get_running_loop().create_future())
        self._pending.append(waiting)
        if not self._committing:
            self._committing = True
            self.spawn(self._commit_pending(), "webhooks")
        return await waiting.done

    async def _commit_pending(self) -> None:
        """Commit what waits, batch by batch, until nothing does."""
        try:
            while self._pending:
                batch, self._pending = self._pending[:MOST_AT_ONCE], self._pending[MOST_AT_ONCE:]
                await self._commit(batch)
        finally:
            self._committing = False
            for waiting in self._pending:  # only when the process stops
                waiting.settle(Unavailable("The server is stopping."))
            self._pending = []

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            answers = await self._write(batch)
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.settle(Unavailable("The server is stopping."))
            raise
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, Unavailable):
                for waiting in batch:  # so that one that cannot be written spoils no other
                    await self._commit([waiting])
                return
            for waiting in batch:
                waiting.settle(error)
            return
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.settle(answer)

    async def _write(self, batch: list[_Waiting]) -> list[WebhookAnswer | RateLimited | None]:
        async with self.database.across() as unit:
            return await write(unit, [one.judged for one in batch])


def _challenge(payload: Payload) -> str | None:
    data: Any = payload.data
    if isinstance(data, dict) and cast("dict[str, Any]", data).get("type") == "url_verification":
        return str(cast("dict[str, Any]", data).get("challenge", ""))[:500]
    return None


def _is_off(task: Task) -> bool:
    return task.disabled_at is not None or task.paused_at is not None


def _check_on(task: Task) -> None:
    if task.disabled_at is not None:
        raise Gone("The task is disabled.", code="task_disabled")
    if task.paused_at is not None:
        raise Gone("The task is paused.", code="task_paused")
