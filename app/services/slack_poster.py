"""Slack's outbox: takes what is due, posts it with no unit open, writes back. A crash loses nothing.

What may have been posted is looked for before it is posted again; where Slack does not let us look, it may come twice.
"""

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog

from app.channels.slack import escaped
from app.integrations.slack_api import SlackAnswer
from app.models.errors import AppError, Unavailable
from app.models.slack import SlackMessage
from app.services import connections
from app.services.rounds import TICK_SECONDS, Rounds
from app.services.slack_answers import close_cards
from app.services.slack_cards import Part, button, note
from app.services.slack_people import Slack

log = structlog.get_logger(__name__)

LEASE_SECONDS = 15.0
"""How long a message is kept by who takes it; it is kept on while it is being posted. So long a crash delays it."""
SIZE = 8
MOST_TRIES = 40
MOST_WAIT = 300.0
FORGET_SECONDS = 600.0
KEPT_DAYS = 8
BATCH = 5_000
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"})
_QUIET = {"unfurl_links": False, "unfurl_media": False, "parse": "none", "link_names": False}


class SlackPoster(Rounds):
    """Posts. Any number of processes may have one: a message is taken by one of them, each thread's in order."""

    subject = "slack"

    def __init__(self, slack: Slack, lease_seconds: float = LEASE_SECONDS) -> None:
        super().__init__()
        self._slack = slack
        self._lease = lease_seconds
        self._busy: set[_Posting] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._forgot = 0.0
        slack.ring = self.ring

    async def drain(self, seconds: float) -> None:
        """Close, and give what is on its way that much time."""
        self.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._busy:
                    await self._wait_and_keep()
        if self._busy:
            log.warning("slack.left_behind", messages=len(self._busy))

    async def _wait_and_keep(self) -> None:
        """Wait a moment for the last post to end; a database that is away must not end the waiting."""
        with contextlib.suppress(Unavailable):
            await self._keep()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), TICK_SECONDS)

    async def look(self) -> int:
        """Take what is due, as far as there is room, and begin to post it; how many that are. Raises Unavailable."""
        await self._keep()
        workspace_id = await self._slack.workspace_id()
        if time.monotonic() - self._forgot > FORGET_SECONDS:
            self._forgot = time.monotonic()
            async with self._slack.database.begin(workspace_id) as unit:
                await unit.slack.forget(KEPT_DAYS, BATCH)
                await unit.slack_messages.forget(KEPT_DAYS, BATCH)
        async with self._slack.database.begin(workspace_id) as unit:
            await close_cards(unit)
            room = SIZE - len(self._busy)
            taken = await unit.slack_messages.claim(room=room, lease=self._lease) if room > 0 and self._open else []
        for message in taken:
            posting = _Posting(self._slack, message, self._lease)
            self._busy.add(posting)
            self._idle.clear()
            self._slack.spawn(self._post(posting), f"slack {message.id}")
        return len(taken)

    async def _keep(self) -> None:
        for posting in list(self._busy):
            await posting.keep()

    async def _post(self, posting: "_Posting") -> None:
        try:
            await posting.post()
        except Unavailable as error:
            log.warning("slack.not_written", message_id=str(posting.message.id), reason=error.detail)
        finally:
            self._busy.discard(posting)
            if not self._busy:
                self._idle.set()
            self.ring()


class _Posting:
    """One try at one message, under a lease that it keeps on while it lasts."""

    def __init__(self, slack: Slack, message: SlackMessage, lease_seconds: float) -> None:
        self.message = message
        self._slack = slack
        self._lease = lease_seconds
        self._writing = asyncio.Lock()
        self._state = message.state
        self._ts = message.message_ts
        self._channel = str(message.state.get("channel") or message.channel_id)
        self._kept_at = time.monotonic()

    async def keep(self) -> None:
        """Keep the message on, once a third of its lease is over. Raises Unavailable."""
        if time.monotonic() - self._kept_at < self._lease / 3:
            return
        async with self._writing:
            began = time.monotonic()
            async with self._slack.database.begin(self.message.workspace_id) as unit:
                due_at = await unit.slack_messages.keep(self.message, self._lease)
            if due_at is not None:
                self.message = replace(self.message, due_at=due_at)
                self._kept_at = began

    @property
    def _lost(self) -> bool:
        """Whether somebody else may have the message by now."""
        return time.monotonic() - self._kept_at > self._lease

    async def post(self) -> None:
        """Post what is left of the message. Raises Unavailable when the database is away."""
        try:
            parts = await self._parts()
        except Unavailable as error:
            await self._settle(wait=2.0, error=error.code)
            return
        if self._state.get("over") and self._ts:
            await self._call("chat.update", parts[0], ts=self._ts)
        sent = int(self._state.get("sent", 0))
        for number in range(sent, len(parts)):
            if self._lost:
                await self._settle(wait=0.0)
                return
            answer = await self._part(number, parts[number])
            if not answer.ok:
                await self._failed(answer)
                return
            self._ts = self._ts or answer.data.get("ts") or answer.data.get("message_ts")
            # A message to a person lands in a channel that is told only now, and can be changed only there.
            self._channel = str(answer.data.get("channel") or self._channel)
            if number < len(parts) - 1 and not await self._took(number + 1):
                return
        await self._settle(wait=None, sent=len(parts), over=False, channel=self._channel)

    async def _parts(self) -> list[Part]:
        if self.message.kind != "connect":
            return self._state["parts"]
        slack, state = self._slack, self._state
        person = await slack.profile(state["slack_id"])
        try:
            async with slack.database.begin(self.message.workspace_id) as unit:
                link = await connections.ticket(
                    unit,
                    slack.google,
                    UUID(state["user_id"]),
                    person.address,
                    person=f"{person.name} ({state['slack_id']} in Slack)",
                )
        except Unavailable:
            raise
        except AppError as error:
            return [note(escaped(error.detail))]
        said = "Connect your Google account. The link is for you alone, opens once, and holds for 10 minutes."
        return [note(said, button("Connect Google", "link", "google", style="primary", url=link.url))]

    async def _part(self, number: int, part: Part) -> SlackAnswer:
        if number == 0 and self._ts is not None:
            answer = await self._call("chat.update", part, ts=self._ts)
            if answer.ok or answer.error not in _GONE:
                return answer
            self._ts = None
        if self._in_doubt():
            found = await self._posted(number)
            if found is not None:
                return SlackAnswer(True, {"ts": found})
        mark = {"event_type": "sixlane_message", "event_payload": {"id": self._mark(number)}}
        where = {"thread_ts": self.message.thread_ts} if self.message.thread_ts else {}
        to = self._state.get("to_user")
        if to is not None:
            return await self._call("chat.postEphemeral", part, user=to, **where)
        return await self._call("chat.postMessage", part, metadata=mark, **where)

    async def _call(self, method: str, part: Part, **more: Any) -> SlackAnswer:
        quiet = {} if method == "chat.update" else _QUIET
        return await self._slack.api.call(method, {"channel": self._channel, **quiet, **part, **more})

    def _mark(self, number: int) -> str:
        return f"{self.message.id}:{number}"

    def _in_doubt(self) -> bool:
        """Whether an earlier try may have posted the next part: it broke off, or had no answer."""
        known = int(self._state.get("known", 0))
        return bool(self._state.get("unsure")) or known < int(self._state.get("tries", 1)) - 1

    async def _posted(self, number: int) -> str | None:
        """The part, where it stands in the thread already."""
        where: dict[str, Any] = {"channel": self._channel, "limit": 50, "include_all_metadata": "true"}
        method = "conversations.history"
        if self.message.thread_ts:
            method, where["ts"] = "conversations.replies", self.message.thread_ts
        answer = await self._slack.api.call(method, where)
        messages: list[dict[str, Any]] = answer.data.get("messages", []) if answer.ok else []
        mark = self._mark(number)
        for one in messages:
            if one.get("metadata", {}).get("event_payload", {}).get("id") == mark:
                return str(one["ts"])
        return None

    async def _failed(self, answer: SlackAnswer) -> None:
        tries = int(self._state.get("tries", 1))
        if answer.wait is None or tries >= MOST_TRIES:
            log.error("slack.not_posted", message_id=str(self.message.id), error=answer.error, tries=tries)
            await self._settle(wait=None, error=answer.error)
            return
        limited = answer.error in ("ratelimited", "rate_limited")
        wait = answer.wait if limited else min(answer.wait * 2 ** min(tries, 10), MOST_WAIT)
        await self._settle(wait=wait, error=answer.error, unsure=answer.unsure, known=tries)

    async def _took(self, sent: int) -> bool:
        async with self._writing, self._slack.database.begin(self.message.workspace_id) as unit:
            self._state["known"] = self._state.get("tries", 1)
            return await unit.slack_messages.took(self.message, self._ts or "", sent)

    async def _settle(self, *, wait: float | None, **state: Any) -> None:
        known = {"known": self._state.get("tries", 1)}
        async with self._writing, self._slack.database.begin(self.message.workspace_id) as unit:
            await unit.slack_messages.settle(self.message, wait=wait, message_ts=self._ts, **{**known, **state})
