"""The hub of one process: carries events to the bus and from it, and to followers here.

What no commit holds yet is on the bus before anyone sees it: whoever takes the run over finds there every event that
was ever shown, so that no number is used twice. While the bus is away followers here see events at once.
"""

import asyncio
import contextlib
from collections.abc import Callable, Generator, Sequence
from typing import Protocol
from uuid import UUID

import structlog

from app.integrations.bus import AWAY, Bus
from app.integrations.bus_wire import NOWHERE, Position, Publication
from app.models.bells import EventsAppended
from app.models.events import TERMINAL_EVENTS
from app.models.frames import Frame

log = structlog.get_logger(__name__)

WINDOW_SECONDS = 0.02
BREATH_SECONDS = 0.004
"""The least time between two trips to the bus; events that nobody follows here wait for a whole window."""

AWAY_SECONDS = 0.5
FEED_FRAMES = 4_000
KEPT_ANNOUNCEMENTS = 1_000
TRIES_AFTER_END = 20


class Writer(Protocol):
    """The part of an event log that the hub works with."""

    @property
    def run_id(self) -> UUID:
        """Whose events these are."""
        ...

    @property
    def closed(self) -> bool:
        """Whether no further event will come."""
        ...

    @property
    def shown(self) -> int:
        """The number of the last event that may be seen."""
        ...

    def frames_after(self, seq: int) -> list[Frame]:
        """Events that may be seen and that no commit holds yet."""
        ...

    def publication(self) -> Publication | None:
        """What the bus has not got yet."""
        ...

    def published(self, sent: Publication, end: Position | None) -> None:
        """The bus took it, or its stream ends elsewhere."""
        ...

    def unheard(self) -> None:
        """The bus is away: show what was kept back for it."""
        ...


class Feed:
    """What one follower has not read yet. `missed` says that there is more than that: look at the ledger."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._news = asyncio.Event()
        self.missed = False

    def put(self, frames: Sequence[Frame]) -> None:
        """Add events; a follower that reads too slowly misses them and reads the ledger."""
        if len(self._frames) + len(frames) > FEED_FRAMES:
            self.miss()
            return
        self._frames.extend(frames)
        self._news.set()

    def miss(self) -> None:
        """Make the follower look at the ledger."""
        self._frames.clear()
        self.missed = True
        self._news.set()

    async def take(self, seconds: float) -> list[Frame]:
        """The next events, or none when nothing came in time."""
        if not self._news.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        self._news.clear()
        frames, self._frames = self._frames, []
        return frames


class EventHub:
    """Followers and writers of this process. The runtime runs `publish()` and `bus.serve(hub)` beside it."""

    def __init__(
        self,
        bus: Bus,
        *,
        on_cancel: Callable[[UUID], None] | None = None,
        on_steer: Callable[[UUID], None] | None = None,
    ) -> None:
        self.bus = bus
        self.closing = False
        self.away = False
        self._on_cancel = on_cancel
        self._on_steer = on_steer
        self._feeds: dict[UUID, list[Feed]] = {}
        self._writers: dict[UUID, Writer] = {}
        self._dirty: dict[int, Writer] = {}
        self._tries: dict[int, int] = {}
        self._announced: list[Publication] = []
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()
        self._sending = asyncio.Lock()

    @contextlib.contextmanager
    def feed(self, run_id: UUID) -> Generator[Feed]:
        """The run's events from now on, from wherever they come."""
        feed = Feed()
        self._feeds.setdefault(run_id, []).append(feed)
        try:
            yield feed
        finally:
            feeds = self._feeds[run_id]
            feeds.remove(feed)
            if not feeds:
                del self._feeds[run_id]
                self.bus.unwatch(run_id)

    async def attend(self, run_id: UUID) -> None:
        """Hear the run over the bus, unless its executor is in this process."""
        if run_id not in self._writers:
            await self.bus.watch(run_id)

    def all_since(self, run_id: UUID, after: int) -> list[Frame] | None:
        """Every event after `after`, if the run's executor is here and still has them all in memory."""
        writer = self._writers.get(run_id)
        if writer is None or writer.shown < after:
            return None
        frames = writer.frames_after(after)
        return frames if len(frames) == writer.shown - after else None

    async def uncommitted(self, run_id: UUID, after: int) -> list[Frame]:
        """Events after `after` that the ledger may not have yet; none when the bus is away."""
        writer = self._writers.get(run_id)
        if writer is not None:
            return writer.frames_after(after)
        if not self.bus.connected:
            return []
        try:
            return await self.bus.tail(run_id, after)
        except AWAY:
            return []

    def close_feeds(self) -> None:
        """The process stops: let every follower go."""
        self.closing = True
        self.missed()

    # Writers

    def opened(self, writer: Writer) -> None:
        """The run's executor is in this process from now on."""
        self._writers[writer.run_id] = writer

    def left(self, writer: Writer) -> None:
        """The executor is done with the run; followers go on with whoever has it next."""
        if self._writers.get(writer.run_id) is writer:
            del self._writers[writer.run_id]
            for feed in self._feeds.get(writer.run_id, ()):
                feed.miss()

    def offered(self, writer: Writer) -> bool:
        """A writer of this process has events for the bus. False when it is away, so that nothing waits for it."""
        self._dirty[id(writer)] = writer
        self._work.set()
        if writer.run_id in self._feeds:
            self._hurry.set()
        return not self.away

    def appended(self, bell: EventsAppended) -> None:
        """Committed events of somebody other than the run's executor."""
        self.heard(bell.run_id, bell.frames)
        ended = bell.frames[-1].type in TERMINAL_EVENTS
        self._announced.append(Publication(bell.run_id, bell.fence, NOWHERE, bell.frames, ended=ended))
        self._work.set()

    # What the bus says

    def heard(self, run_id: UUID, frames: Sequence[Frame]) -> None:
        """Events of a run that may be followed here."""
        for feed in self._feeds.get(run_id, ()):
            feed.put(frames)

    def cancel_heard(self, run_id: UUID) -> None:
        """Some process was asked to stop this run."""
        if self._on_cancel is not None:
            self._on_cancel(run_id)

    def steer_heard(self, run_id: UUID) -> None:
        """There is a message for this run, which may run here."""
        if self._on_steer is not None:
            self._on_steer(run_id)

    def missed(self) -> None:
        """Anything may have been said: every follower looks at the ledger."""
        for feeds in self._feeds.values():
            for feed in feeds:
                feed.miss()

    # To the bus

    async def publish(self) -> None:
        """Carry events to the bus until cancelled: one round trip for all runs in each window.

        Only what is followed here goes out at once, and never more often than there is breath for.
        """
        while True:
            await self._work.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WINDOW_SECONDS - BREATH_SECONDS):
                    await self._hurry.wait()
            self._hurry.clear()
            await asyncio.sleep(BREATH_SECONDS if await self.send() else AWAY_SECONDS)

    async def send(self) -> bool:
        """Send what is due now; False when the bus is away and it has to be tried again."""
        async with self._sending:
            self._work.clear()
            announced, self._announced = self._announced, []
            writers, self._dirty = self._dirty, {}
            due = [(writer, sent) for writer in writers.values() if (sent := writer.publication()) is not None]
            if not due and not announced:
                return True
            try:
                ends = await self.bus.publish([sent for _, sent in due], announced)
            except AWAY as error:
                log.debug("not_published", runs=len(due), error=str(error))
                self.away = True
                self._keep([writer for writer, _ in due], announced)
                return False
            self.away = False
            for (writer, sent), end in zip(due, ends, strict=True):
                self._tries.pop(id(writer), None)
                writer.published(sent, end)
                if writer.publication() is not None:
                    self._dirty[id(writer)] = writer
                    self._work.set()
            return True

    def _keep(self, writers: list[Writer], announced: list[Publication]) -> None:
        self._announced = (announced + self._announced)[-KEPT_ANNOUNCEMENTS:]
        for writer in (*self._dirty.values(), *writers):
            writer.unheard()
        for writer in writers:
            # The ledger has all events of a closed one; its followers find them there.
            tries = self._tries.get(id(writer), 0) + 1 if writer.closed else 0
            if tries < TRIES_AFTER_END:
                self._dirty[id(writer)], self._tries[id(writer)] = writer, tries
            else:
                self._tries.pop(id(writer), None)
        self._work.set()
