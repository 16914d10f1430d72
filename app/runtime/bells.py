"""Bells of one process: rung after a commit, beside the request, and heard by the executors here."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from app.models.bells import Bell, CancelAsked, EventsAppended, RunReady, RunSteered
from app.runtime.parts import Runtime

if TYPE_CHECKING:
    from app.services.agent_executor import Executor


def ringer(runtime: Runtime) -> Callable[[Sequence[Bell]], Awaitable[None]]:
    """Rings bells beside the request: nobody waits for Valkey."""

    async def ring(bells: Sequence[Bell]) -> None:
        for bell in bells:
            if _heard_here(runtime, bell):
                continue
            if isinstance(bell, EventsAppended):
                runtime.hub.appended(bell)
                continue
            if isinstance(bell, RunReady) and runtime.role == "worker":
                runtime.works.pool.ring()
            runtime.tasks.start(_send(runtime, bell), "bell")

    return ring


def _heard_here(runtime: Runtime, bell: Bell) -> bool:
    """Whether the bell is for a run that executes in this very process, which has heard it now."""
    if runtime.workshop is None:
        return False
    if isinstance(bell, CancelAsked):
        return runtime.workshop.executor.cancel(bell.run_id)
    return isinstance(bell, RunSteered) and runtime.workshop.executor.steer(bell.run_id)


async def _send(runtime: Runtime, bell: Bell) -> None:
    if isinstance(bell, RunReady):
        await runtime.doorbell.ring_run(bell.run_id, bell.lane)
    elif isinstance(bell, CancelAsked):
        await runtime.bus.ring_cancel(bell.run_id)
    elif isinstance(bell, RunSteered):
        await runtime.bus.ring_steer(bell.run_id)


def heard_by(executors: "list[Executor]") -> tuple[Callable[[UUID], None], Callable[[UUID], None]]:
    """What the hub calls when it hears that a run is to stop, and that there is a message for one.

    The executors are known later.
    """

    def cancel(run_id: UUID) -> None:
        for executor in executors:
            executor.cancel(run_id)

    def steer(run_id: UUID) -> None:
        for executor in executors:
            executor.steer(run_id)

    return cancel, steer
