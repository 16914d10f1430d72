"""Claiming: a process' pool of places, filled from the queue on a bell, on a freed place, and every second."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from app.database.connection import Database
from app.database.stores.queue import LaneRoom
from app.models.errors import Unavailable
from app.services.agent_executor import Executor

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
BATCH = 16
"""How many runs one claim takes at most, so that processes share a burst."""
SHARES: Mapping[str, float] = {"interactive": 1.0, "background": 0.9, "research": 0.5}
"""How much of the pool each lane may fill, in order of precedence: a person who waits always finds a place."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Size of the pool, and caps: per user by lane, per agent and per workspace (0 = none)."""

    size: int
    per_user: Mapping[str, int]
    per_agent: int = 0
    per_workspace: int = 0


class ClaimPool:
    """Keeps a process' places filled. `on_room` hears whether there is a free place, whenever that changes."""

    def __init__(self, database: Database, executor: Executor, options: PoolOptions) -> None:
        self.on_room: Callable[[bool], None] | None = None
        self._database = database
        self._executor = executor
        self._options = options
        self._bell = asyncio.Event()
        self._had_room = True
        self._open = True
        executor.on_free = self.ring

    def ring(self) -> None:
        """There may be something to claim, or a place for it."""
        self._bell.set()

    def close(self) -> None:
        """Claim nothing any more."""
        self._open = False
        self._bell.set()

    async def run(self) -> None:
        """Claim until closed. A database that is away is waited for."""
        while self._open:
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._bell.wait()
            except TimeoutError:
                pass
            self._bell.clear()
            try:
                await self._fill()
            except Unavailable as error:
                log.warning("claim.database_away", reason=error.detail)
                await asyncio.sleep(0.2)
            except Exception:
                log.exception("claim.failed")
                await asyncio.sleep(1)

    async def _fill(self) -> None:
        while self._open and (free := self._options.size - self._executor.busy) > 0:
            asked = self._executor.clock()
            async with self._database.across() as unit:
                if not await unit.queue.has_due():
                    break
                claimed = await unit.queue.claim(
                    self._executor.options.owner, self._executor.options.lease, min(free, BATCH), self._rooms()
                )
            for run in claimed:
                self._executor.start(run, since=asked)
            if not claimed:
                break
        self._tell_room()

    def _rooms(self) -> dict[str, LaneRoom]:
        held = self._executor.held_by_lane()
        options = self._options
        return {
            lane: LaneRoom(
                slots=max(max(1, int(options.size * share)) - held.get(lane, 0), 0),
                per_user=options.per_user.get(lane, 0),
                per_agent=options.per_agent,
                per_workspace=options.per_workspace,
            )
            for lane, share in SHARES.items()
        }

    def _tell_room(self) -> None:
        room = self._executor.busy < self._options.size
        if room != self._had_room:
            self._had_room = room
            if self.on_room is not None:
                self.on_room(room)
