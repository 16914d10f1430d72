"""The scheduler process: APScheduler as a clock with a few fixed jobs in memory; all truth is in the ledger."""

import asyncio
import contextlib
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from app.config import load_settings
from app.runtime import Runtime, open_runtime, set_up_logging
from app.workers import sweeper

log = structlog.get_logger(__name__)

FIRE_SECONDS = 1
_STEPS = ((sweeper.settle, 1), (sweeper.recover, 5), (sweeper.give_up, 2), (sweeper.expire, 60), (sweeper.forget, 600))


class Clock:
    """The fixed jobs, and one more at the next due time, which is set anew after every firing and every edit.

    A job never overlaps itself, and a late one is still carried out.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        # The library has no type stubs: what it returns is untyped, and nothing of it is used.
        self._scheduler: Any = AsyncIOScheduler(
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None}, timezone=UTC
        )

    def start(self) -> None:
        """Begin to tick."""
        self._scheduler.add_job(self.fire, "interval", seconds=FIRE_SECONDS, id="fire")
        for step, seconds in _STEPS:
            self._scheduler.add_job(step, "interval", seconds=seconds, args=[self._runtime], id=step.__name__)
        self._scheduler.start()
        self._runtime.tasks.start(self._hear(), "timetable")

    def stop(self) -> None:
        """Tick no more."""
        self._scheduler.shutdown(wait=False)

    async def fire(self) -> None:
        """Fire what is due, and wake up again when the next is."""
        seconds = await sweeper.fire(self._runtime)
        if seconds is not None and seconds < FIRE_SECONDS:
            at = datetime.now(UTC) + timedelta(seconds=seconds)
            self._scheduler.add_job(self.fire, "date", run_date=at, id="wake", replace_existing=True, max_instances=3)

    async def _hear(self) -> None:
        """Fire at once when a timetable was changed by anyone."""
        while True:
            await self._runtime.timetable_changed.wait()
            self._runtime.timetable_changed.clear()
            await self.fire()


async def run() -> None:
    """Tick until a signal asks to stop."""
    settings = load_settings()
    set_up_logging(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_runtime(settings, "scheduler") as runtime:
        clock = Clock(runtime)
        clock.start()
        log.info("scheduler.ready", process=runtime.process_id)
        await stop.wait()
        clock.stop()


def main() -> None:
    """Run the scheduler in this process."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()
