"""Kills processes of a fleet at chosen points of runs, starts them again, and remembers what each blow hit."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from support.audit import Audit
from support.fleet import Fleet, Member, Role, Theatre
from support.load import HOLD_SECONDS

Point = Literal["stream", "tool", "anywhere", "scheduler"]
YOUNG_SECONDS = HOLD_SECONDS * 0.6
MOST_STRIKES = 4
"""A run that has been struck so often is seen to its end, but for a blow that was falling when it was claimed."""
_MOST_SECONDS = 30.0


def recovery_seconds(lease_seconds: float) -> float:
    """How soon after its process fell a run must have gone on: the product's promise."""
    return 1.5 * lease_seconds + 5


class Strikes:
    """Counts how often each run lost its process, and spares whoever holds one that has lost enough of them."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self.of: Counter[UUID] = Counter()

    async def spare(self, owner: str) -> bool:
        """Whether a process holds a run that has been struck often enough."""
        return any(self.of[run_id] >= MOST_STRIKES for run_id in await self._audit.held_by(owner))

    async def fallen(self, owner: str) -> dict[UUID, int]:
        """Count the runs that a process held when it fell; they and their fences."""
        held = await self._audit.held_by(owner)
        self.of.update(held.keys())
        return held


@dataclass
class Blow:
    """One kill: where it fell, and the runs (with fences) that the process held."""

    point: Point
    role: Role
    at: float
    owner: str
    held: dict[UUID, int]
    aim: str = ""


@dataclass
class Killer:
    """Strikes `fleet` at points that `rng` chooses; at least one other process of the role is left alive.

    No run is struck more than a few times: otherwise a slow machine, where all runs end up with the one process that is
    ready, and fall with it before they have got anywhere, would measure the killer's pace and not the recovery.
    """

    theatre: Theatre
    audit: Audit
    rng: random.Random
    blows: list[Blow] = field(default_factory=list[Blow])
    names: dict[str, Member] = field(default_factory=dict[str, Member])

    def __post_init__(self) -> None:
        """Nobody has been struck yet."""
        self.strikes = Strikes(self.audit)

    @property
    def fleet(self) -> Fleet:
        """Whom it strikes."""
        return self.theatre.fleet

    async def start(self, role: Role) -> None:
        """Start a process and learn under which name it holds leases."""
        member = await self.fleet.start(role)
        self.names[member.owner] = member

    async def strike_all(self, aims: list[tuple[Point, str]]) -> None:
        """Every blow in its turn; whoever falls is replaced while the next one is aimed."""
        async with asyncio.TaskGroup() as group:
            for point, target in aims:
                group.create_task(self.start(await self.strike(point, target)))

    async def strike(self, point: Point, target: str) -> Role:
        """Wait for the point and kill. Returns whom the fleet lacks now."""
        find: dict[Point, Callable[[], Awaitable[tuple[str, str] | None]]] = {
            "stream": self._streaming,
            "tool": lambda: self._in_tool(target),
            "anywhere": lambda: self._anywhere("api", "worker"),
            "scheduler": lambda: self._anywhere("scheduler"),
        }
        deadline = time.monotonic() + _MOST_SECONDS
        while (found := await find[point]()) is None:
            assert time.monotonic() < deadline, f"no run came to the point {point} {target}"
            await asyncio.sleep(0.04)
        owner, aim = found
        member = self.names[owner]
        at = self.fleet.kill(member)
        self.blows.append(Blow(point, member.role, at, owner, await self.strikes.fallen(owner), aim))
        return member.role

    async def _streaming(self) -> tuple[str, str] | None:
        state = await asyncio.to_thread(self.theatre.model.state)
        return await self._choose(
            entry["marker"] for entry in state["in_flight"] if entry["stream"] and 1 <= entry["chunks"] <= 8
        )

    async def _in_tool(self, target: str) -> tuple[str, str] | None:
        state = await asyncio.to_thread(self.theatre.receiver.state)
        return await self._choose(
            entry["marker"]
            for entry in state["in_flight"]
            if f".{target}." in entry["marker"] and state["now"] - entry["started"] < YOUNG_SECONDS
        )

    async def _choose(self, aims: Any) -> tuple[str, str] | None:
        aims = list(aims)
        self.rng.shuffle(aims)
        for aim in aims:
            holder = await self.audit.holder(aim.split(".")[0])
            if holder is not None and await self._may_fall(holder[2]):
                return holder[2], aim
        return None

    async def _anywhere(self, *roles: Role) -> tuple[str, str] | None:
        await asyncio.sleep(self.rng.random())
        owners = [owner for owner, one in list(self.names.items()) if one.role in roles and await self._may_fall(owner)]
        return (self.rng.choice(owners), "") if owners else None

    async def _may_fall(self, owner: str) -> bool:
        member = self.names.get(owner)
        if member is None or not member.ready or await self.strikes.spare(owner):
            return False
        return member.ready and (member.role == "scheduler" or len(self.fleet.of(member.role)) > 1)
