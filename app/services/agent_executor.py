"""The one executor: it carries out runs that were claimed, in whatever process, and holds their leases."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog
from pydantic_ai import CancellationToken

from app.integrations.metrics import Metrics
from app.models.errors import LeaseLost, Unavailable
from app.models.run import TERMINAL, Run, RunResult
from app.models.turn import OpenConversation
from app.services.attempt import Attempt
from app.services.conduct import Conduct
from app.services.ending import Ending
from app.services.event_hub import EventHub
from app.services.event_log import EventLog
from app.services.workshop import Workshop

log = structlog.get_logger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """Who this process is and how it holds runs. Times are in seconds."""

    owner: str
    lease: float = 30.0
    max_attempts: int = 10


@dataclass(slots=True)
class Execution:
    """A run in this process: its task, why it was told to stop, and what it came to if it was completed.

    `leaving` is set while its last commit is made: from then on the fence alone decides whether the lease held.
    Until `leased_until`, by the loop's clock, nobody else can have taken it over. `news` is set when there may be
    messages for it.
    """

    run: Run
    leased_until: float
    opened: OpenConversation | None = None
    result: RunResult | None = None
    token: CancellationToken = field(default_factory=CancellationToken)
    task: "asyncio.Task[None] | None" = None
    stop: str | None = None
    leaving: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Executor:
    """Runs what was claimed. `start` returns at once; `held` is what the heartbeat keeps alive."""

    def __init__(
        self,
        *,
        workshop: Workshop,
        hub: EventHub,
        options: ExecutorOptions,
        spawn: Spawn,
        metrics: Metrics,
    ) -> None:
        self.options = options
        self.on_free: Callable[[], None] | None = None
        self.on_left: Callable[[Run], None] | None = None
        self._database = workshop.database
        self._hub = hub
        self._workshop = workshop
        self._spawn = spawn
        self._metrics = metrics
        self._held: dict[UUID, Execution] = {}

    @property
    def busy(self) -> int:
        """How many runs are executing here."""
        return len(self._held)

    def held_by_lane(self) -> Mapping[str, int]:
        """How many runs are executing here, by lane."""
        count: dict[str, int] = {}
        for execution in self._held.values():
            count[execution.run.lane] = count.get(execution.run.lane, 0) + 1
        return count

    def start(self, run: Run, opened: OpenConversation | None = None, *, since: float) -> Execution:
        """Begin to execute a run whose lease this process holds, with its conversation if that is at hand.

        `since` is the loop's time when the lease was asked for: it may have frozen between then and now.
        """
        earlier = self._held.get(run.id)
        if earlier is not None:
            # Its lease ran out unnoticed, and this very process has claimed the run again.
            self._drop(earlier)
        execution = Execution(run, since + self.options.lease, opened)
        self._held[run.id] = execution
        execution.task = self._spawn(self._execute(execution), f"run:{run.id}")
        return execution

    def execution(self, run_id: UUID) -> Execution | None:
        """The run's execution here, while it lasts."""
        return self._held.get(run_id)

    def cancel(self, run_id: UUID) -> bool:
        """Stop a run that was asked to stop; false when it does not execute here."""
        execution = self._held.get(run_id)
        if execution is None or execution.stop is not None:
            return execution is not None
        execution.stop = "cancel"
        execution.token.cancel()
        return True

    async def beat(self) -> None:
        """Extend every lease in one statement; drop runs whose lease is gone, stop those asked to stop."""
        held = {run_id: execution.run.fence for run_id, execution in self._held.items()}
        if not held:
            return
        leased_until = self.clock() + self.options.lease
        async with self._database.across() as unit:
            alive = await unit.queue.heartbeat(self.options.owner, self.options.lease, held)
        for run_id, fence in held.items():
            execution = self._held.get(run_id)
            if execution is None or execution.run.fence != fence:
                continue
            if run_id not in alive:
                self._drop(execution)
                continue
            execution.leased_until = leased_until
            if alive[run_id]:
                self.cancel(run_id)

    def steer(self, run_id: UUID) -> bool:
        """Let a run look for messages; false when it does not execute here."""
        execution = self._held.get(run_id)
        if execution is not None:
            execution.news.set()
        return execution is not None

    async def look_for_calls(self) -> None:
        """Stop runs that were asked to stop, and hand messages to runs, where the bell was lost."""
        if not self._held:
            return
        async with self._database.across() as unit:
            calls = await unit.queue.calls(self.options.owner)
        for run_id, stop in calls.items():
            self.cancel(run_id) if stop else self.steer(run_id)

    async def drain(self, seconds: float) -> None:
        """Give running runs some time to end, then hand the rest back at their last checkpoint."""
        tasks = [execution.task for execution in self._held.values() if execution.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for execution in self._held.values():
            if execution.stop is None and execution.task is not None:
                execution.stop = "hand_back"
                execution.task.cancel()
        left = [execution.task for execution in self._held.values() if execution.task is not None]
        if left:
            await asyncio.wait(left, timeout=10)

    def clock(self) -> float:
        """The loop's time, by which leases are reckoned here."""
        return asyncio.get_running_loop().time()

    def _drop(self, execution: Execution) -> None:
        if execution.leaving:
            return
        execution.stop = "lost"
        if execution.task is not None:
            execution.task.cancel()

    async def _execute(self, execution: Execution) -> None:
        run = execution.run
        with structlog.contextvars.bound_contextvars(run_id=str(run.id), workspace_id=str(run.workspace_id)):
            try:
                await self._attempt(execution)
            except LeaseLost:
                log.warning("run.lease_lost", fence=run.fence)
            except Unavailable as error:
                log.warning("run.left_to_its_lease", reason=error.detail)
            except asyncio.CancelledError:
                log.info("run.stopped", reason=execution.stop)
            except Exception:
                log.exception("run.left_to_its_lease")
            finally:
                if self._held.get(run.id) is execution:
                    del self._held[run.id]
                execution.ended.set()
                if self.on_free is not None:
                    self.on_free()

    async def _attempt(self, execution: Execution) -> None:
        run = execution.run
        events = await EventLog.open(run, self._hub, self._database)
        try:
            attempt = Attempt(
                self._database,
                run,
                events,
                execution.opened,
                leased=lambda: self.clock() < execution.leased_until,
                ring=execution.news,
            )
            ending = await self._conduct(execution, attempt)
            execution.leaving = True
            execution.run = await attempt.end(ending)
            execution.result = attempt.result
            log.info("run.left", status=execution.run.status, reason=ending.reason, attempt=run.attempt)
            self._count(execution.run)
            if self.on_left is not None:
                self.on_left(execution.run)
        finally:
            events.close()

    def _count(self, run: Run) -> None:
        if run.status not in TERMINAL:
            return
        cost = run.usage.get("cost_usd")
        self._metrics.run_ended(
            run.status,
            run.pattern,
            run.model,
            input_tokens=run.usage.get("input_tokens", 0),
            output_tokens=run.usage.get("output_tokens", 0),
            cost_usd=float(cost) if cost is not None else None,
        )

    async def _conduct(self, execution: Execution, attempt: Attempt) -> Ending:
        run = execution.run
        if run.attempt > max(self.options.max_attempts, run.max_attempts):
            await attempt.load()
            return Ending(
                "failed",
                "attempts_exhausted",
                f"The run was begun {run.attempt - 1} times and its process died or stalled each time.",
            )
        try:
            return await Conduct(self._workshop, attempt, execution.token).run()
        except asyncio.CancelledError:
            if execution.stop != "hand_back":
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            return Ending("queued", counts=False, available_in=0)
