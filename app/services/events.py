"""Reading events: following a run from any process, and pages of what is stored."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.database.connection import Database
from app.database.stores.events import RunProgress
from app.database.unit import Unit
from app.models.errors import NotFound, Unavailable
from app.models.events import TERMINAL_EVENTS
from app.models.frames import EventHead, Frame, frame
from app.models.run import TERMINAL
from app.services.event_hub import EventHub, Feed

DEAF_SECONDS = 1.0
TICK_SECONDS = 3.0
GAP_SECONDS = 0.05


async def page(unit: Unit, run_id: UUID, after: int, limit: int) -> tuple[list[Frame], bool]:
    """Up to `limit` stored events of a run with a number above `after`, and whether there are more.

    Raises NotFound.
    """
    progress = await unit.events.progress(run_id)
    if progress is None:
        raise NotFound(f"Run {run_id} not found.", code="run_not_found")
    frames = await unit.events.after(run_id, progress.conversation_id, after, limit=limit + 1)
    return frames[:limit], len(frames) > limit


async def follow(
    database: Database,
    hub: EventHub,
    workspace_id: UUID,
    run_id: UUID,
    after: int = 0,
    *,
    ends_on: frozenset[str] = TERMINAL_EVENTS,
) -> AsyncGenerator[list[Frame]]:
    """Events of a run with a number above `after`, each once and in order, until one of `ends_on` or the run's end.

    Yields an empty list when there is nothing new for a while, so that the caller can say that it is alive. Ends
    early when this process stops. Works in any process, with the bus or, a second later, without.
    """
    with hub.feed(run_id) as feed:
        follower = _Follower(database, hub, workspace_id, run_id, after, ends_on)
        here = hub.all_since(run_id, after)
        yield await follower.catch_up() if here is None else follower.read(here)
        while not (follower.ended or hub.closing):
            frames = follower.read(await feed.take(TICK_SECONDS if hub.bus.connected else DEAF_SECONDS))
            if frames:
                yield frames
            if follower.ended or hub.closing:
                return
            if not frames or follower.gap or feed.missed:
                yield await follower.look(feed)


@dataclass
class _Follower:
    """Where one follower stands: `last` is the number of the last event that it gave out."""

    database: Database
    hub: EventHub
    workspace_id: UUID
    run_id: UUID
    last: int
    ends_on: frozenset[str]
    gap: bool = False
    ended: bool = False

    def read(self, frames: list[Frame], *, stored: bool = False) -> list[Frame]:
        """The events that come next, from events in order; sets `gap` where one is missing before another."""
        found: list[Frame] = []
        for one in frames:
            if one.seq > self.last:
                if not (stored or one.seq == self.last + 1 or one.type == "run.snapshot"):
                    self.gap = True
                    break
                found.append(one)
                self.last = one.seq
                self.ended = one.type in self.ends_on
            self.ended = self.ended or one.type in TERMINAL_EVENTS
            if self.ended:
                break
        return found

    async def look(self, feed: Feed) -> list[Frame]:
        """Catch up because something is missing, or because it has been silent for a while."""
        if self.gap:
            await asyncio.sleep(GAP_SECONDS)
        self.gap = feed.missed = False
        return await self.catch_up()

    async def catch_up(self) -> list[Frame]:
        """What the ledger and the run's writer have beyond `last`; nothing when the ledger is away."""
        await self.hub.attend(self.run_id)
        # The writer first: what a commit takes from it in between stands in the ledger when that is read.
        unstored = await self.hub.uncommitted(self.run_id, self.last)
        try:
            async with self.database.begin(self.workspace_id) as unit:
                progress = await unit.events.progress(self.run_id)
                if progress is None:
                    self.ended = True
                    return []
                found = await self._stored(unit, progress)
                end = await self._lost_end(unit, progress)
        except Unavailable:
            return []
        return found + end + self.read(unstored)

    async def _stored(self, unit: Unit, progress: RunProgress) -> list[Frame]:
        if progress.last_seq <= self.last:
            # The client has seen all there is; a run that has ended has nothing more to say.
            self.ended = self.ended or progress.status in TERMINAL
            return []
        return self.read(await unit.events.after(self.run_id, progress.conversation_id, self.last), stored=True)

    async def _lost_end(self, unit: Unit, progress: RunProgress) -> list[Frame]:
        """The last event of a run that has ended, made anew when its events are no longer kept."""
        if self.ended or progress.status not in TERMINAL:
            return []
        result = await unit.runs.result(self.run_id)
        payload: dict[str, Any] = {"status_reason": progress.status_reason, "detail": progress.status_detail}
        if result is not None and result.text is not None:
            payload |= {"result": {"text": result.text, "data": result.data}, "message_id": result.entry_id}
        head = EventHead(self.run_id, progress.conversation_id, progress.attempt)
        self.last, self.ended = progress.last_seq, True
        return [frame(head, progress.last_seq, f"run.{progress.status}", payload)]
