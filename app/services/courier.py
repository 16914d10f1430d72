"""The courier of a worker process: takes what is due from the outbox, sends it with no unit open, writes back."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from random import uniform
from typing import Any

import structlog

from app.channels import form_of, open_channels
from app.channels.channel import Channel, Means
from app.database.connection import Database
from app.database.unit import Unit
from app.models.delivery import RETRY_SECONDS, Delivery, Message, Outcome, Verdict
from app.models.errors import Unavailable
from app.models.ids import new_id
from app.services import approval_links
from app.services.event_log import append_events
from app.services.rendering import DIGEST, compose
from app.services.rounds import Rounds

log = structlog.get_logger(__name__)

SPARE_SECONDS = 30.0
"""How much longer a lease is than an attempt may take: a send that outlived its lease would be taken for one whose
process died."""
MOST_ITEMS = 50
BATCH = 50
REPEATABLE = frozenset({"webhook"})
"""Channels whose receivers know a message again by its id, so that one that may have arrived is sent again."""

Spawn = Callable[[Coroutine[Any, Any, None], str], object]


@dataclass(frozen=True, slots=True)
class CourierOptions:
    """How much is sent at once, in all and to one place (a host, the mail server), for how long, and what links are
    made of."""

    size: int = 16
    per_place: int = 4
    attempt_seconds: float = 60.0
    base_url: str | None = None


class Courier(Rounds):
    """Delivers. Any number of processes may have one: a delivery is taken by one of them, under a lease."""

    subject = "courier"

    def __init__(self, database: Database, means: Means, options: CourierOptions, spawn: Spawn) -> None:
        super().__init__()
        self._database = database
        self._means = means
        self._channels = open_channels(means)
        self._options = options
        self._most_seconds = max(options.attempt_seconds, 2 * means.seconds)
        self._spawn = spawn
        self._idle = asyncio.Event()
        self._idle.set()
        self._places: Counter[str] = Counter()

    async def aclose(self) -> None:
        """Close the connections that only deliveries use."""
        await self._means.slack.aclose()

    async def drain(self, seconds: float) -> None:
        """Close, and give what is on its way that much time."""
        self.close()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            log.warning("courier.left_behind", deliveries=self._places.total())

    async def look(self) -> int:
        """Take what is due, as far as there is room, and begin to send it; how many that are. Raises Unavailable."""
        async with self._database.across() as unit:
            if not await unit.outbox.has_work():
                return 0
            abandoned, windows = await unit.outbox.abandoned(BATCH), await unit.outbox.closed_windows(BATCH)
        await self._give_up(abandoned)
        for one in windows:
            async with self._database.begin(one.workspace_id) as unit:
                await gather(unit, one)
        begun = 0
        while self._open and (room := self._options.size - self._places.total()) > 0:
            full = [place for place, held in self._places.items() if held >= self._options.per_place]
            async with self._database.across() as unit:
                taken = await unit.outbox.claim(
                    room=room,
                    per_place=self._options.per_place,
                    full=full,
                    lease=self._most_seconds + SPARE_SECONDS,
                )
            for delivery in taken:
                self._places[_place(delivery)] += 1
                self._idle.clear()
                self._spawn(self._deliver(delivery), f"delivery {delivery.id}")
            begun += len(taken)
            if not taken:
                break
        return begun

    async def idle(self) -> None:
        """Wait until nothing is on its way."""
        await self._idle.wait()

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            channel = self._channels[delivery.channel]
            if not channel.ready(delivery.target["to"]):
                await self._keep(delivery)
                return
            started = time.monotonic()
            outcome = await self._send(channel, delivery)
            await self._write_in_time(delivery, outcome, time.monotonic() - started)
        except Unavailable as error:
            log.warning("courier.not_written", delivery_id=str(delivery.id), reason=error.detail)
        finally:
            self._places[_place(delivery)] -= 1
            self._places += Counter()  # drops places at zero
            if not self._places:
                self._idle.set()
            self.ring()

    async def _send(self, channel: Channel, delivery: Delivery) -> Outcome:
        try:
            message: Message = compose(delivery, self._options.base_url)
            more = await approval_links.lines_for(self._database, delivery, self._options.base_url)
            message = replace(message, markdown=message.markdown + more)
            rendered = await asyncio.to_thread(form_of, delivery.channel, message)
        except Unavailable as error:
            return Outcome("retry", reason="database_away", detail=error.detail)
        except Exception as error:
            log.exception("courier.not_rendered", delivery_id=str(delivery.id))
            return Outcome("failed", reason="not_rendered", detail=f"It cannot be rendered: {type(error).__name__}.")
        try:
            async with asyncio.timeout(self._most_seconds):
                return await channel.send(delivery.target["to"], message, rendered)
        except Exception as error:
            log.exception("courier.not_sent", delivery_id=str(delivery.id))
            detail = f"The attempt broke off: {type(error).__name__}."
            return Outcome("retry" if delivery.channel in REPEATABLE else "unknown", reason="no_answer", detail=detail)

    async def _write_in_time(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        """Write the outcome down, also when the database is away for a while: it is known, and must not be lost."""
        end = time.monotonic() + SPARE_SECONDS - 5
        while True:
            try:
                await self._write(delivery, outcome, seconds)
            except Unavailable:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.5)
            else:
                return

    async def _keep(self, delivery: Delivery) -> None:
        """The channel is not configured: the message stays in the dev inbox."""
        detail = f"Channel {delivery.channel} is not configured on this server; the message is kept here."
        verdict = Verdict("inbox", "not_configured", detail)
        async with self._database.begin(delivery.workspace_id) as unit:
            if await unit.deliveries.settle(delivery, verdict, counted=False):
                await show(unit, delivery, verdict)

    async def _write(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        """Record the attempt, and what the delivery is now. Another process that took it since has the say."""
        verdict = verdict_of(outcome, delivery.attempts)
        async with self._database.begin(delivery.workspace_id) as unit:
            if not await unit.deliveries.settle(delivery, verdict):
                log.warning("courier.late", delivery_id=str(delivery.id), outcome=outcome.outcome)
                return
            await unit.deliveries.record(delivery, outcome, seconds)
            await show(unit, delivery, verdict)
            if verdict.status in ("failed", "dead"):
                await fall_back(unit, delivery)
        log.info(
            "delivery.attempted",
            delivery_id=str(delivery.id),
            channel=delivery.channel,
            outcome=outcome.outcome,
            code=outcome.code,
            reason=outcome.reason,
            seconds=round(seconds, 3),
        )

    async def _give_up(self, abandoned: Sequence[Delivery]) -> None:
        """What a process had begun to send when it died: nobody knows whether it arrived."""
        for delivery in abandoned:
            detail = "The process that sent it did not live to see the answer."
            known = delivery.channel in REPEATABLE
            outcome = Outcome("retry" if known else "unknown", reason="interrupted", detail=detail)
            await self._write(delivery, outcome, 0.0)


def verdict_of(outcome: Outcome, attempts: int) -> Verdict:
    """What a delivery is after its n-th attempt."""
    if outcome.outcome != "retry":
        return Verdict(outcome.outcome, outcome.reason, outcome.detail)
    if attempts >= len(RETRY_SECONDS):
        return Verdict("dead", outcome.reason, outcome.detail)
    wait = RETRY_SECONDS[attempts] * uniform(1.0, 1.1)  # noqa: S311  (spreads load, guards nothing)
    return Verdict("pending", outcome.reason, outcome.detail, wait=max(wait, outcome.after or 0.0))


async def show(unit: Unit, delivery: Delivery, verdict: Verdict) -> None:
    """Say among the events of a run that waits what became of a message about it.

    A run that works has its events from its executor alone, and the last event of one that has ended is its end.
    """
    run = await unit.runs.lock(delivery.run_id) if delivery.run_id else None
    if run is not None and run.status == "waiting":
        told = {"delivery_id": delivery.id, "channel": delivery.channel, "status": verdict.status}
        await append_events(unit, run, [("delivery.updated", {**told, "detail": verdict.detail})])


async def fall_back(unit: Unit, delivery: Delivery) -> None:
    """Send what could not be delivered by the task's second way, if it has one."""
    second = delivery.content.get("fallback")
    if not second or delivery.fallback_of is not None:
        return
    await unit.deliveries.add(
        {
            "id": new_id(),
            "user_id": delivery.user_id,
            "task_id": delivery.task_id,
            "run_id": delivery.run_id,
            "event": delivery.event,
            "channel": second["channel"],
            "target": second["target"],
            "content": {**delivery.content, "template": second.get("template"), "fallback": None, "key": None},
            "status": "pending",
            "fallback_of": delivery.id,
            "dedup_key": f"fallback:{delivery.id}",
        }
    )


async def gather(unit: Unit, one: Delivery) -> None:
    """Close a digest's window: one message for everything that is held for the same channel and target."""
    held = await unit.deliveries.held_with(one)
    if len(held) <= 1:
        for single in held:
            await unit.deliveries.release(single.id)
        return
    digest_id = new_id()
    first = held[:MOST_ITEMS]
    await unit.deliveries.add(
        {
            "id": digest_id,
            "user_id": one.user_id,
            "task_id": one.task_id if len({item.task_id for item in held}) == 1 else None,
            "run_id": None,
            "event": DIGEST,
            "channel": one.channel,
            "target": one.target,
            "content": {
                "type": DIGEST,
                "items": [{**item.content, "time": item.created_at.isoformat()} for item in first],
                "left_out": len(held) - len(first),
                "fallback": first[0].content.get("fallback"),
            },
            "status": "pending",
            "dedup_key": f"digest:{digest_id}",
        }
    )
    await unit.deliveries.gather([item.id for item in held], digest_id)


def _place(delivery: Delivery) -> str:
    return str(delivery.target.get("place", ""))
