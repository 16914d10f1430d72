"""Writing events: the log of one attempt at a run, and events that others append in their own commits."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from app.database.connection import Database
from app.database.unit import Unit
from app.integrations.bus import AWAY
from app.integrations.bus_wire import NOWHERE, Position, Publication, Tail
from app.models.bells import EventsAppended
from app.models.errors import NotFound
from app.models.events import TERMINAL_EVENTS
from app.models.frames import EventBatch, EventHead, Frame, frame, from_wire
from app.models.run import Run
from app.services.event_hub import WINDOW_SECONDS, EventHub

COMMIT_SOON = 500
MOST_UNCOMMITTED = 900
JUMP = 1_000
"""How far numbering jumps per fence when events may be lost; more than one attempt can have shown uncommitted."""

AT_ONCE = 500
SEGMENT_ENDS = frozenset({"run.waiting", "run.retrying", "approval.decided", "approval.expired", "delivery.updated"})


async def append_events(unit: Unit, run: Run, events: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Append events in the unit's transaction, for a run that no executor holds. Shown after the commit.

    Raises NotFound when the workspace has no such run.
    """
    first = await unit.events.allocate(run.id, len(events))
    if first is None:
        raise NotFound(f"Run {run.id} not found.", code="run_not_found")
    head = EventHead(run.id, run.conversation_id, run.attempt)
    frames = [frame(head, seq, type_, payload) for seq, (type_, payload) in enumerate(events, first)]
    await unit.events.add(run.id, EventBatch.of(frames))
    unit.ring(EventsAppended(unit.workspace_id, run.id, run.fence, frames))


class EventLog:
    """The events of one attempt, numbered on from the run's `last_seq`.

    `emit` shows an event before it is stored, as soon as the bus has it: it must already be true. What becomes true
    only with a commit (an end, a request for approval) is given to `take` and is shown after `committed`. Nothing
    here blocks.
    """

    def __init__(
        self, run: Run, hub: EventHub, *, next_seq: int, adopted: Sequence[Frame] = (), position: Position = NOWHERE
    ) -> None:
        self.run_id = run.id
        self.closed = False
        self.superseded = False
        self._fence = run.fence
        self._head = EventHead(run.id, run.conversation_id, run.attempt)
        self._hub = hub
        self._next = next_seq
        self._uncommitted: list[Frame] = list(adopted)
        self.shown = next_seq - 1
        self._offered = next_seq - 1
        self._hidden: list[Frame] = []
        self._taken = False
        self._held_from: int | None = None
        self._later: list[tuple[str, Mapping[str, Any]]] = []
        self._text: list[str] = []
        self._part = 0
        self._window: asyncio.TimerHandle | None = None
        self._position = position
        self._unpublished: list[Frame] = []
        hub.opened(self)

    @classmethod
    async def open(cls, run: Run, hub: EventHub, database: Database) -> "EventLog":
        """The log of a run that was just claimed.

        What earlier attempts had shown and not stored is taken from the bus and stored with the next commit. Where
        that cannot be known, numbering jumps ahead and a `run.snapshot` says so.
        """
        if run.fence <= 1:
            return cls(run, hub, next_seq=run.last_seq + 1)
        try:
            tail = await hub.bus.take_over(run.id, run.fence)
        except AWAY:
            tail = Tail(NOWHERE, [], lost_some=True)
        adopted = _adoptable(run, tail)
        if adopted is not None:
            next_seq = adopted[-1].seq + 1 if adopted else run.last_seq + 1
            return cls(run, hub, next_seq=next_seq, adopted=adopted, position=tail.position)
        if await _ended_cleanly(run, database):
            return cls(run, hub, next_seq=run.last_seq + 1, position=tail.position)
        log = cls(run, hub, next_seq=run.last_seq + 1 + JUMP * (run.fence - 1), position=tail.position)
        log.emit("run.snapshot", text="", status="running", checkpoints=run.checkpoints, reason="events_lost")
        return log

    # Making events

    def emit(self, type_: str, **payload: Any) -> None:
        """Show an event of the catalogue now; it is stored with the next commit."""
        self._end_text()
        self._add(type_, payload)

    def delta(self, text: str, part: int = 0) -> None:
        """Show a piece of the answer: the first at once, what follows within the window as one event."""
        if part != self._part:
            self._end_text()
            self._part = part
        self._text.append(text)
        if self._window is None:
            self._end_text()
            self._window = asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._window_ends)

    @property
    def needs_commit(self) -> bool:
        """Whether so much is not stored that the executor should commit now. Past a limit, nothing more is shown."""
        return len(self._uncommitted) > COMMIT_SOON

    # Storing them

    def take(self, *last: tuple[str, Mapping[str, Any]]) -> EventBatch | None:
        """What is not stored yet, and `last`, which becomes true with the commit that stores it.

        The caller adds the batch and sets the run's `last_seq`, then calls `committed` or `rolled_back`. None when
        there is nothing, or when another commit is storing it just now; with `last`, there may be no other.
        """
        self._end_text()
        if self._taken:
            assert not last, "a commit that ends something came beside another one"
            return None
        if last:
            self._held_from = self._next
            for type_, payload in last:
                self._encode(type_, payload)
        self._taken = bool(self._uncommitted)
        return EventBatch.of(self._uncommitted) if self._uncommitted else None

    def committed(self, batch: EventBatch | None) -> None:
        """The batch is stored: show what became true with it."""
        if batch is None:
            return
        self._taken, self._held_from = False, None
        stored = [one for one in self._uncommitted if one.seq <= batch.last_seq]
        self._uncommitted = self._uncommitted[len(stored) :]
        self._offer([one for one in stored if one.seq > self._offered])
        self._reveal(batch.last_seq)
        self._offer_due()
        self._add_later()

    def rolled_back(self, batch: EventBatch | None) -> None:
        """The commit failed: what was to become true with it did not, and its numbers were never seen."""
        if batch is None:
            return
        self._taken = False
        if self._held_from is not None:
            first, self._held_from = self._held_from, None
            self._uncommitted = [one for one in self._uncommitted if one.seq < first]
            self._next = first
        self._add_later()

    def close(self) -> None:
        """The attempt is over, however. What is neither stored nor shown by now is dropped."""
        if self._window is not None:
            self._window.cancel()
            self._window = None
        self._text.clear()
        self.closed = True
        self._hub.left(self)

    # For the hub

    def frames_after(self, seq: int) -> list[Frame]:
        """Events that may be seen and that no commit holds yet."""
        return [one for one in self._uncommitted if seq < one.seq <= self.shown]

    def publication(self) -> Publication | None:
        """What the bus has not got yet."""
        if not self._unpublished or self.superseded:
            return None
        frames = tuple(self._unpublished[:AT_ONCE])
        ended = frames[-1].type in TERMINAL_EVENTS
        return Publication(self.run_id, self._fence, self._position, frames, ended=ended)

    def published(self, sent: Publication, end: Position | None) -> None:
        """The bus took it; or its stream ends at `end`: it vanished, went back in time, or has another writer."""
        if end is None:
            self._position = Position(self._fence, sent.frames[-1].seq)
            self._unpublished = [one for one in self._unpublished if one.seq > self._position.seq]
            self._reveal(self._position.seq)
        elif end.fence > self._fence:
            self.superseded = True
            self._unpublished.clear()
            self._hidden.clear()
        else:
            self._position = end
            known = {one.seq: one for one in (*self.frames_after(0), *self._unpublished)}
            self._unpublished = [known[seq] for seq in sorted(known) if seq > end.seq]

    def unheard(self) -> None:
        """The bus is away: show what was kept back for it."""
        self._reveal(self._offered)

    # Within

    def _window_ends(self) -> None:
        self._window = None
        if self._text:
            self._end_text()
            self._window = asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._window_ends)

    def _end_text(self) -> None:
        if self._text:
            text = "".join(self._text)
            self._text.clear()
            self._add("message.delta", {"text": text, "part": self._part})

    def _add(self, type_: str, payload: Mapping[str, Any]) -> None:
        if self.closed:
            return
        if self._held_from is not None:
            self._later.append((type_, payload))
            return
        self._encode(type_, payload)
        if len(self._uncommitted) <= MOST_UNCOMMITTED and self._offered == self._next - 2:
            self._offer(self._uncommitted[-1:])

    def _encode(self, type_: str, payload: Mapping[str, Any]) -> None:
        self._uncommitted.append(frame(self._head, self._next, type_, payload))
        self._next += 1

    def _offer_due(self) -> None:
        self._offer([one for one in self._uncommitted[:MOST_UNCOMMITTED] if one.seq > self._offered])

    def _offer(self, frames: list[Frame]) -> None:
        if frames:
            self._offered = frames[-1].seq
            self._unpublished += frames
            self._hidden += frames
            if not self._hub.offered(self):
                self._reveal(self._offered)

    def _reveal(self, seq: int) -> None:
        frames = [one for one in self._hidden if one.seq <= seq]
        if frames:
            self._hidden = self._hidden[len(frames) :]
            self.shown = frames[-1].seq
            self._hub.heard(self.run_id, frames)

    def _add_later(self) -> None:
        later, self._later = self._later, []
        for type_, payload in later:
            self._add(type_, payload)


def _adoptable(run: Run, tail: Tail) -> list[Frame] | None:
    """What the bus has beyond the ledger, if that is certainly all that was shown; None if it may not be."""
    newer = [
        from_wire(one.data, one.seq, one.type, run.id, run.conversation_id)
        for one in tail.frames
        if one.seq > run.last_seq
    ]
    jumps = [place for place, one in enumerate(newer) if one.type == "run.snapshot"]
    if jumps:
        newer = newer[jumps[-1] :]
    elif newer and newer[0].seq != run.last_seq + 1:
        return None
    whole = not newer or newer[-1].seq - newer[0].seq + 1 == len(newer)
    return newer if whole and not tail.lost_some else None


async def _ended_cleanly(run: Run, database: Database) -> bool:
    """Whether the attempt before ended with a commit, so that nothing of it can be missing in the ledger."""
    async with database.begin(run.workspace_id) as unit:
        last = await unit.events.last(run.id, run.conversation_id)
    return last is not None and last.type in SEGMENT_ENDS and last.event["attempt"] == run.attempt - 1
