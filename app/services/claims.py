"""Claiming: a process' pool of places, filled from the queue on a bell, on a freed place, and every second."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.database.connection import Database
from app.database.stores.queue import LaneRoom
from app.services.agent_executor import Executor
from app.services.rounds import Rounds

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


class ClaimPool(Rounds):
    """Keeps a process' places filled. `on_room` hears whether there is a free place, whenever that changes."""

    subject = "claim"

    def __init__(self, database: Database, executor: Executor, options: PoolOptions) -> None:
        super().__init__()
        self.on_room: Callable[[bool], None] | None = None
        self._database = database
        self._executor = executor
        self._options = options
        self._had_room = True
        executor.on_free = self.ring

    async def look(self) -> None:
        """Claim until there is nothing to claim or no place for it. Raises Unavailable."""
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
