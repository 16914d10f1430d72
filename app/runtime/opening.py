"""Opening everything long-lived of one process, and closing it in good order: one context manager."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Generator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import SecretStr

from app.config import Settings, parse_key, parse_ring
from app.database.connection import ANSWER_SECONDS, COMMAND_SECONDS, Database
from app.database.listening import notifications
from app.database.stores.occurrences import CHANNEL
from app.integrations.bus import Bus
from app.integrations.data_folder import secret
from app.integrations.embedded import attached_stores
from app.integrations.http import OutboundGuard
from app.integrations.logs import configure_logging
from app.integrations.metrics import Metrics
from app.integrations.queue import Doorbell
from app.integrations.vault import Vault
from app.models.errors import SettingError, Unavailable
from app.models.ids import new_id
from app.models.run import Run
from app.runtime.bells import heard_by, ringer
from app.runtime.google import google_options
from app.runtime.parts import Role, Runtime, Tasks
from app.runtime.workshop import with_workshop
from app.services.event_hub import EventHub
from app.services.settling import Settler

if TYPE_CHECKING:
    from app.services.agent_executor import Executor

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
REPORT_SECONDS = 10.0
LAST_DELIVERY_SECONDS = 5.0


def _secrets(settings: Settings) -> list[str]:
    """Every secret of the settings in plain text."""
    groups = (
        settings.database,
        settings.redis,
        settings.models,
        settings.secrets,
        settings.mail,
        settings.slack,
        settings.google,
        settings.search,
    )
    values = [getattr(group, name) for group in groups for name in type(group).model_fields]
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]


def set_up_logging(settings: Settings) -> None:
    """Log as the settings say, and never print their secrets."""
    form = settings.logs.format or ("json" if settings.production else "console")
    configure_logging(settings.logs.level, form, hide=_secrets(settings))


@contextlib.asynccontextmanager
async def open_runtime(settings: Settings, role: Role, metrics: Metrics | None = None) -> AsyncGenerator[Runtime]:
    """Open everything a process of this role needs; close it in good order, runs first.

    Attaches to the stores of the settings, or to those of the data folder. Raises SettingError and ServerFailed.
    """
    async with attached_stores(settings) as stores:
        ring = _ring(settings)
        patience = ANSWER_SECONDS if role == "api" else COMMAND_SECONDS
        database = Database(stores.database_url, pool_size=settings.database.pool, command_seconds=patience)
        bus = Bus(stores.redis_url)
        executors: list[Executor] = []
        on_cancel, on_steer = heard_by(executors)
        runtime = Runtime(
            settings=settings,
            role=role,
            process_id=f"{role}-{socket.gethostname()}-{os.getpid()}-{new_id().hex[-6:]}",
            database=database,
            bus=bus,
            hub=EventHub(bus, on_cancel=on_cancel, on_steer=on_steer),
            doorbell=Doorbell(settings.arq_redis_url or stores.redis_url),
            guard=OutboundGuard(settings.outbound.allow_hosts),
            metrics=metrics or Metrics(),
            tasks=Tasks(),
            peppers=tuple(key for _, key in ring),
            vault=Vault(ring),
            redis_url=settings.arq_redis_url or stores.redis_url,
            settler=Settler(database),
            courier=None,
            timetable_changed=asyncio.Event(),
        )
        if role in ("api", "worker"):
            runtime = with_workshop(runtime, google_options(settings))
            runtime = _with_hands(runtime) if role == "worker" else runtime
            executors.append(runtime.works.executor)
            runtime.works.executor.on_left = lambda run: _left(runtime, run)
        database.set_ringer(ringer(runtime))
        _begin(runtime, stores.database_url)
        _warm_up(runtime)
        # A full collection would otherwise walk everything that was imported: 50 ms in which nothing is served.
        gc.collect()
        gc.freeze()
        try:
            yield runtime
        finally:
            await _close(runtime)


def _ring(settings: Settings) -> Sequence[tuple[str, bytes]]:
    """What hashes API keys and seals secrets: the key ring, newest first, and in local mode the data folder's own.

    That one stays in the ring when another is given, so that nothing sealed before is lost.
    """
    ring = parse_ring(settings.secrets)
    if ring and settings.production:
        return ring
    return (*ring, ("local", parse_key("SIXLANE_KEYS", secret(settings.data, "keys"))))


def _with_hands(runtime: Runtime) -> Runtime:
    """What a worker delivers with: mail, webhooks, Slack. Late: the scheduler never loads what they are made with."""
    from app.runtime.courier import with_courier
    from app.runtime.slack import with_slack

    return with_slack(with_courier(runtime))


def _left(runtime: Runtime, run: Run) -> None:
    """A run left this process: what follows from its end need not wait for the next tick."""
    if (run.task_id is not None or run.trigger in ("slack", "sub_run")) and run.status != "queued":
        runtime.settler.ring()


async def _hear_of_timetables(database_url: str, changed: asyncio.Event) -> None:
    async for _ in notifications(database_url, CHANNEL):
        changed.set()


def _begin(runtime: Runtime, database_url: str) -> None:
    runtime.tasks.start(_report(runtime), "report")
    runtime.tasks.start(runtime.hub.publish(), "publish")
    runtime.tasks.start(runtime.bus.serve(runtime.hub), "listen")
    if runtime.role == "scheduler":
        runtime.tasks.start(_hear_of_timetables(database_url, runtime.timetable_changed), "timetables")
    if runtime.workshop is None:
        return
    runtime.tasks.start(_keep_leases(runtime.workshop.executor), "leases")
    if runtime.role == "worker":
        runtime.tasks.start(runtime.workshop.pool.run(), "claims")
        runtime.tasks.start(runtime.settler.run(), "settle")
        if runtime.courier is not None:
            runtime.tasks.start(runtime.courier.run(), "deliver")
        if runtime.slack is not None:
            runtime.slack.begin()


def _warm_up(runtime: Runtime) -> None:
    """Load what the first run would wait for: the provider's client and the price list."""
    if runtime.workshop is None:
        return
    from app.agents.prices import price_known

    models = runtime.workshop.models
    try:
        models.resolve()
    except SettingError as error:
        log.warning("model.not_configured", reason=str(error))
    price_known(models.default.model)


async def _keep_leases(executor: "Executor") -> None:
    """Extend the leases of what runs here, three times in a lease, and look every second for runs to stop."""
    every = max(1, int(executor.options.lease / 3 / TICK_SECONDS))
    tick = 0
    while True:
        await asyncio.sleep(TICK_SECONDS)
        tick += 1
        try:
            if tick % every == 0:
                await executor.beat()
            else:
                await executor.look_for_calls()
        except Unavailable as error:
            log.warning("leases.database_away", reason=error.detail)
        except Exception:
            log.exception("leases.failed")


async def _report(runtime: Runtime) -> None:
    """Tell the fleet that this process lives, and how busy it is."""
    while True:
        busy = runtime.workshop.executor.busy if runtime.workshop else 0
        with contextlib.suppress(Exception):
            async with runtime.database.across() as unit:
                await unit.processes.report(
                    runtime.process_id,
                    role=runtime.role,
                    version=runtime.version,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    load={"runs": busy, "counted": runtime.metrics.counted()},
                )
        await asyncio.sleep(REPORT_SECONDS)


async def wind_down(runtime: Runtime) -> None:
    """Stop claiming, let the streams go, give runs their time and hand the rest back. A second call waits too."""
    runtime.hub.close_feeds()
    if runtime.workshop is not None:
        runtime.workshop.pool.close()
        hands = [hand for hand in (runtime.courier, runtime.slack) if hand is not None]
        for hand in hands:
            hand.close()
        await runtime.workshop.executor.drain(runtime.settings.server.shutdown_seconds)
        for hand in hands:
            await hand.drain(LAST_DELIVERY_SECONDS)


@contextlib.contextmanager
def winding_down_on_signals(runtime: Runtime) -> Generator[None]:
    """Begin to wind down as soon as a signal asks the server to stop, and pass the signal on.

    The server itself would first wait for its connections, and those wait for runs and streams.
    """
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(lambda: runtime.tasks.start(wind_down(runtime), "wind-down"))
        if callable(before[number]):
            before[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        before |= {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _close(runtime: Runtime) -> None:
    """Wind down, then close what is open, the stores last."""
    await wind_down(runtime)
    with contextlib.suppress(Exception):
        async with runtime.database.across() as unit:
            await unit.processes.leave(runtime.process_id)
    await runtime.tasks.close()
    if runtime.workshop is not None:
        await runtime.workshop.models.aclose()
        if runtime.workshop.mailboxes is not None:
            runtime.workshop.mailboxes.close()
    if runtime.courier is not None:
        await runtime.courier.aclose()
    if runtime.slack is not None:
        await runtime.slack.aclose()
    await runtime.guard.aclose()
    await runtime.doorbell.close()
    await runtime.bus.close()
    await runtime.database.close()
