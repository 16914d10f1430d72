"""The worker process: ARQ carries the bell, the claim pool does the rest."""

import contextlib
from typing import Any

import structlog
from arq.worker import run_worker

from app.config import load_settings
from app.integrations.queue import PatientRedis, worker_options
from app.runtime import Runtime, open_runtime, set_up_logging

log = structlog.get_logger(__name__)


async def wake(ctx: dict[str, Any], run_id: str) -> None:
    """Hear the bell: some run can be claimed. Never executes anything, so ARQ's limits never matter."""
    runtime: Runtime = ctx["runtime"]
    runtime.works.pool.ring()


async def startup(ctx: dict[str, Any]) -> None:
    """Open the runtime before the first bell; the pool begins to claim at once."""
    settings = load_settings()
    set_up_logging(settings)
    stack = contextlib.AsyncExitStack()
    runtime = await stack.enter_async_context(open_runtime(settings, "worker"))
    ctx["runtime"], ctx["stack"] = runtime, stack
    redis = PatientRedis.of(ctx["redis"])
    redis.point_to(runtime.redis_url)
    runtime.works.pool.on_room = redis.listen
    log.info("worker.ready", process=runtime.process_id)


async def shutdown(ctx: dict[str, Any]) -> None:
    """Stop claiming, give runs their time, hand the rest back."""
    stack: contextlib.AsyncExitStack = ctx["stack"]
    await stack.aclose()


class WorkerSettings:
    """What `arq app.workers.task_worker.WorkerSettings` runs."""

    functions = (wake,)
    on_startup = startup
    on_shutdown = shutdown


for _name, _value in worker_options(PatientRedis()).items():
    setattr(WorkerSettings, _name, _value)


def main() -> None:
    """Run the worker in this process."""
    run_worker(WorkerSettings)  # type: ignore[arg-type]
