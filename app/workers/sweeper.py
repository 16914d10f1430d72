"""The sweeper: what has to be looked after from time to time, in small steps, by any number of processes."""

from collections.abc import Awaitable
from typing import TypeVar

import structlog

from app.models.errors import Unavailable
from app.runtime import Runtime
from app.services import approvals, awaited, firing, upkeep

T = TypeVar("T")

log = structlog.get_logger(__name__)


async def _calmly(step: Awaitable[T]) -> T | None:
    """Take a step. Nothing escapes: the next round tries again."""
    try:
        return await step
    except Unavailable as error:
        log.warning("sweep.database_away", reason=error.detail)
    except Exception:
        log.exception("sweep.failed")
    return None


async def fire(runtime: Runtime) -> float | None:
    """Begin the runs that are due; the seconds until the next is, or None when there is none or it is not known."""
    fired = await _calmly(firing.fire_due(runtime.database))
    return fired.seconds if fired else None


async def settle(runtime: Runtime) -> None:
    """Follow up on runs of tasks that ended where nobody was near: streaks, notifications, chained tasks."""
    await _calmly(runtime.settler.look())


async def forget(runtime: Runtime) -> None:
    """Delete what retention no longer covers."""
    settings = runtime.settings
    days = upkeep.Days(
        events=settings.retention.event_days,
        journal=settings.retention.journal_days,
        occurrences=settings.retention.occurrence_days,
        inbound=settings.webhooks.event_days,
        deliveries=settings.deliveries.days,
    )
    await _calmly(upkeep.forget(runtime.database, days))


async def recover(runtime: Runtime) -> None:
    """Ring for runs that nobody seems to have heard of: lost bells and expired leases."""
    await _calmly(upkeep.ring_for_the_forgotten(runtime.database))


async def expire(runtime: Runtime) -> None:
    """Expire approvals that nobody decided in time; their runs go on without the call."""
    await _calmly(approvals.expire_due(runtime.database))


async def give_up(runtime: Runtime) -> None:
    """Give up calls that no client answered in time; their runs go on without the answer."""
    await _calmly(awaited.expire_due(runtime.database))
