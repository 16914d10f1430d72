"""The sweeper: what has to be looked after from time to time, in small steps, by any number of processes."""

import structlog

from app.models.errors import Unavailable
from app.runtime import Runtime
from app.services import approvals, upkeep

log = structlog.get_logger(__name__)


async def forget(runtime: Runtime) -> None:
    """Delete what retention no longer covers. Nothing escapes: the next round tries again."""
    retention = runtime.settings.retention
    try:
        await upkeep.forget(runtime.database, event_days=retention.event_days, journal_days=retention.journal_days)
    except Unavailable as error:
        log.warning("sweep.database_away", reason=error.detail)
    except Exception:
        log.exception("sweep.failed")


async def recover(runtime: Runtime) -> None:
    """Ring for runs that nobody seems to have heard of: lost bells and expired leases."""
    try:
        await upkeep.ring_for_the_forgotten(runtime.database)
    except Unavailable as error:
        log.warning("sweep.database_away", reason=error.detail)
    except Exception:
        log.exception("sweep.failed")


async def expire(runtime: Runtime) -> None:
    """Expire approvals that nobody decided in time; their runs go on without the call."""
    try:
        await approvals.expire_due(runtime.database)
    except Unavailable as error:
        log.warning("sweep.database_away", reason=error.detail)
    except Exception:
        log.exception("sweep.failed")
