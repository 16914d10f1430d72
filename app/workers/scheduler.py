"""The scheduler process: APScheduler as a clock with a few fixed jobs in memory; all truth is in the ledger."""

import asyncio
import contextlib
import signal
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from app.config import load_settings
from app.runtime import Runtime, open_runtime, set_up_logging
from app.workers import sweeper

log = structlog.get_logger(__name__)

RECOVER_SECONDS = 5
EXPIRE_SECONDS = 60
FORGET_SECONDS = 600


def clock(runtime: Runtime) -> Any:
    """A started clock with the fixed jobs. A job never overlaps itself, and a late one is still carried out."""
    # The library has no type stubs: what it returns is untyped, and nothing of it is used.
    scheduler: Any = AsyncIOScheduler(
        job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None}, timezone="UTC"
    )
    scheduler.add_job(sweeper.recover, "interval", seconds=RECOVER_SECONDS, args=[runtime])
    scheduler.add_job(sweeper.expire, "interval", seconds=EXPIRE_SECONDS, args=[runtime])
    scheduler.add_job(sweeper.forget, "interval", seconds=FORGET_SECONDS, args=[runtime])
    scheduler.start()
    return scheduler


async def run() -> None:
    """Tick until a signal asks to stop."""
    settings = load_settings()
    set_up_logging(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_runtime(settings, "scheduler") as runtime:
        scheduler = clock(runtime)
        log.info("scheduler.ready", process=runtime.process_id)
        await stop.wait()
        scheduler.shutdown(wait=False)


def main() -> None:
    """Run the scheduler in this process."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()
