"""What is shown while a run works: the text so far, what it is doing, and a button that stops it. Best effort.

The answer itself comes through the outbox, whatever becomes of this. Who posts last wins nothing: a picture that was
painted over the answer is painted over again.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from app.models.errors import Unavailable
from app.models.events import TERMINAL_EVENTS
from app.models.frames import Frame
from app.models.run import Run
from app.models.slack import Place
from app.services.events import follow
from app.services.slack_cards import progress
from app.services.slack_people import Slack

log = structlog.get_logger(__name__)

MOST_FOLLOWED = 32
PAUSE_SECONDS = 1.0
"""The least time before the first picture, between two of one run, and between any two of this process: Slack takes
about fifty changes of messages a minute."""
_ENDS = TERMINAL_EVENTS | {"run.waiting"}


@dataclass(slots=True)
class _View:
    """A run as a person would want to see it now."""

    text: str = ""
    doing: str = "Thinking …"
    changed: bool = True
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, frame: Frame) -> None:
        """Look at one event."""
        if frame.type == "message.delta":
            self.text += frame.event["text"]
        elif frame.type == "tool.call":
            self.doing, self.text = f"Using {frame.event['tool']} …", ""
        elif frame.type == "run.queued" and frame.event.get("waiting_on"):
            self.doing = "Another message of yours is before this one …"
        elif frame.type in ("run.started", "run.snapshot"):
            self.doing, self.text = "Thinking …", ""
        elif frame.type == "run.retrying":
            self.doing, self.text = "It did not work; I will try again …", ""
        elif frame.type in ("tool.result", "message.completed"):
            self.doing = "Thinking …"
        else:
            return
        self.changed = True


class SlackLive:
    """The pictures of one process."""

    def __init__(self, slack: Slack) -> None:
        self._slack = slack
        self._followed: set[UUID] = set()
        self._not_before = 0.0

    @property
    def has_room(self) -> bool:
        """Whether another run could be followed."""
        return len(self._followed) < MOST_FOLLOWED

    def begin(self, run: Run, place: Place) -> None:
        """Follow a run beside everything else, if there is room."""
        if self.has_room and run.id not in self._followed:
            self._followed.add(run.id)
            self._slack.spawn(self._follow(run, place), f"slack run {run.id}")

    async def _follow(self, run: Run, place: Place) -> None:
        view = _View()
        try:
            await asyncio.gather(self._read(run, view), self._paint(run, place, view))
        except Unavailable as error:
            log.info("slack.not_followed", run_id=str(run.id), reason=error.detail)
        finally:
            self._followed.discard(run.id)

    async def _read(self, run: Run, view: _View) -> None:
        slack = self._slack
        try:
            events = follow(slack.database, slack.hub, run.workspace_id, run.id, run.last_seq, ends_on=_ENDS)
            async with contextlib.aclosing(events):
                async for frames in events:
                    for frame in frames:
                        view.take(frame)
        finally:
            view.over.set()

    async def _paint(self, run: Run, place: Place, view: _View) -> None:
        message_ts: str | None = None
        while not view.over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_SECONDS):
                    await view.over.wait()
            now = time.monotonic()
            if view.over.is_set() or not view.changed or now < self._not_before:
                continue
            self._not_before = now + PAUSE_SECONDS
            view.changed = False
            if message_ts is None:
                message_ts = await self._first(run, place, view)
                going_on = message_ts is not None
            else:
                going_on = await self._next(run, place, view, message_ts)
            if not going_on:
                return

    async def _first(self, run: Run, place: Place, view: _View) -> str | None:
        """Post the picture in the place that the answer will have; None when that is not (or no longer) wanted."""
        async with self._slack.database.begin(run.workspace_id) as unit:
            if not await unit.slack_messages.reserve(run.id, place):
                return None
        where = {"thread_ts": place.thread_ts} if place.thread_ts else {}
        picture = self._picture(run, place, view)
        answer = await self._slack.api.call("chat.postMessage", {"channel": place.channel_id, **picture, **where})
        if not answer.ok:
            self._hold_back(answer.wait)
            return None
        message_ts = str(answer.data["ts"])
        async with self._slack.database.begin(run.workspace_id) as unit:
            wanted = await unit.slack_messages.shown(run.id, message_ts)
        if not wanted:
            await self._slack.api.call("chat.delete", {"channel": answer.data["channel"], "ts": message_ts})
            return None
        return message_ts

    async def _next(self, run: Run, place: Place, view: _View, message_ts: str) -> bool:
        """Paint over the picture; False when the answer has come meanwhile."""
        picture = self._picture(run, place, view)
        answer = await self._slack.api.call("chat.update", {"channel": place.channel_id, "ts": message_ts, **picture})
        self._hold_back(answer.wait)
        async with self._slack.database.begin(run.workspace_id) as unit:
            message = await unit.slack_messages.message("answer", run.id)
            if message is not None and "parts" not in message.state:
                return True
            await unit.slack_messages.again(run.id)
        self._slack.ring()
        return False

    def _picture(self, run: Run, place: Place, view: _View) -> dict[str, object]:
        # In a channel others read along, and the run may be reading the person's mail.
        return progress(run.id, view.text if place.direct else "", view.doing)

    def _hold_back(self, wait: float | None) -> None:
        if wait is not None:
            self._not_before = time.monotonic() + max(wait, PAUSE_SECONDS)
