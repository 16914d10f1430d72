"""The composition root: everything long-lived of one process, opened and closed by one context manager."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import structlog
from pydantic import SecretStr

from app import __version__
from app.config import Settings, choose_model, parse_key, parse_ring
from app.database.connection import ANSWER_SECONDS, COMMAND_SECONDS, Database
from app.integrations.bus import Bus
from app.integrations.data_folder import secret
from app.integrations.embedded import attached_stores
from app.integrations.http import OutboundGuard
from app.integrations.logs import configure_logging
from app.integrations.metrics import Metrics
from app.integrations.queue import Doorbell
from app.integrations.vault import Vault
from app.models.bells import Bell, CancelAsked, EventsAppended, RunReady
from app.models.errors import SettingError, Unavailable
from app.models.ids import new_id
from app.models.turn import Caps
from app.services.event_hub import EventHub

if TYPE_CHECKING:
    from app.agents.llm import ModelOptions, ModelSource
    from app.agents.registry import AgentRegistry
    from app.services.agent_executor import Executor
    from app.services.chat import Chat
    from app.services.claims import ClaimPool

log = structlog.get_logger(__name__)

Role = Literal["api", "worker", "scheduler", "cli"]
TICK_SECONDS = 1.0
REPORT_SECONDS = 10.0


class Tasks:
    """The process' background tasks. Each is kept until it ends, and one that breaks says so in the log."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something beside the requests."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("task.broke", task=task.get_name(), exc_info=task.exception())

    async def close(self) -> None:
        """Cancel what is left and wait for it."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class Workshop:
    """The parts of a process that executes runs."""

    registry: "AgentRegistry"
    models: "ModelSource"
    executor: "Executor"
    chat: "Chat"
    pool: "ClaimPool"


@dataclass(frozen=True)
class Runtime:
    """What one process has. `workshop` is None in a process that never executes runs."""

    settings: Settings
    role: Role
    process_id: str
    database: Database
    bus: Bus
    hub: EventHub
    doorbell: Doorbell
    guard: OutboundGuard
    metrics: Metrics
    tasks: Tasks
    peppers: tuple[bytes, ...]
    vault: Vault
    redis_url: str
    workshop: Workshop | None = None
    version: str = __version__

    @property
    def registry(self) -> "AgentRegistry":
        """The agents, patterns and tools."""
        return self.works.registry

    @property
    def models(self) -> "ModelSource":
        """The models by name."""
        return self.works.models

    @property
    def works(self) -> Workshop:
        """The workshop of a process that has one."""
        assert self.workshop is not None, f"the {self.role} process executes no runs"
        return self.workshop


def _secrets(settings: Settings) -> list[str]:
    """Every secret of the settings in plain text."""
    groups = (
        settings.database,
        settings.redis,
        settings.models,
        settings.secrets,
        settings.mail,
        settings.slack,
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
        runtime = Runtime(
            settings=settings,
            role=role,
            process_id=f"{role}-{socket.gethostname()}-{os.getpid()}-{new_id().hex[-6:]}",
            database=database,
            bus=bus,
            hub=EventHub(bus, on_cancel=lambda run_id: _cancel_here(executors, run_id)),
            doorbell=Doorbell(settings.arq_redis_url or stores.redis_url),
            guard=OutboundGuard(settings.outbound.allow_hosts),
            metrics=metrics or Metrics(),
            tasks=Tasks(),
            peppers=tuple(key for _, key in ring),
            vault=Vault(ring),
            redis_url=settings.arq_redis_url or stores.redis_url,
        )
        if role in ("api", "worker"):
            runtime = _with_workshop(runtime)
            executors.append(runtime.works.executor)
        database.set_ringer(_ringer(runtime))
        _begin(runtime)
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


def _with_workshop(runtime: Runtime) -> Runtime:
    # Late: the scheduler and most commands never load the agent library.
    from app.agents.llm import ModelSource
    from app.agents.registry import AgentRegistry
    from app.services.agent_executor import Executor, ExecutorOptions
    from app.services.claims import ClaimPool, PoolOptions

    settings = runtime.settings
    registry, models = AgentRegistry(), ModelSource(_model_options(settings))
    executor = Executor(
        database=runtime.database,
        hub=runtime.hub,
        registry=registry,
        models=models,
        outbound=runtime.guard,
        options=ExecutorOptions(runtime.process_id, settings.runs.lease_seconds, settings.runs.max_attempts),
        spawn=runtime.tasks.start,
        metrics=runtime.metrics,
    )
    caps = PoolOptions(
        size=settings.runs.worker_concurrency,
        per_user={
            "interactive": settings.runs.cap_user_interactive,
            "background": settings.runs.cap_user_background,
            "research": settings.runs.cap_user_research,
        },
        per_agent=settings.runs.cap_agent,
        per_workspace=settings.runs.cap_workspace,
    )
    pool = ClaimPool(runtime.database, executor, caps)
    chat = _chat(runtime, executor, registry, models)
    return replace(runtime, workshop=Workshop(registry, models, executor, chat, pool))


def _chat(runtime: Runtime, executor: "Executor", registry: "AgentRegistry", models: "ModelSource") -> "Chat":
    from app.services.chat import Chat
    from app.services.intake import Claimant

    runs = runtime.settings.runs
    return Chat(
        database=runtime.database,
        hub=runtime.hub,
        executor=executor,
        registry=registry,
        models=models,
        claimant=Claimant(
            runtime.process_id,
            runs.lease_seconds,
            Caps(runs.cap_user_interactive, runs.cap_agent, runs.cap_workspace),
        ),
        wait_seconds=runtime.settings.server.chat_wait_seconds,
    )


def _model_options(settings: Settings) -> "ModelOptions":
    from app.agents.llm import ModelOptions

    models = settings.models
    return ModelOptions(
        openai_api_key=_plain(models.openai_api_key),
        openai_base_url=models.openai_base_url,
        anthropic_api_key=_plain(models.anthropic_api_key),
        anthropic_base_url=models.anthropic_base_url,
        ollama_base_url=models.ollama_base_url,
        default_model=choose_model(models).name,
        fallback_models=models.fallbacks,
        demo=models.demo,
        read_timeout=models.timeout_seconds,
    )


def _plain(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None


def _ringer(runtime: Runtime) -> Callable[[Sequence[Bell]], Awaitable[None]]:
    """Rings bells beside the request: nobody waits for Valkey."""

    async def ring(bells: Sequence[Bell]) -> None:
        for bell in bells:
            if isinstance(bell, CancelAsked) and runtime.workshop and runtime.workshop.executor.cancel(bell.run_id):
                continue
            if isinstance(bell, EventsAppended):
                runtime.hub.appended(bell)
                continue
            if isinstance(bell, RunReady) and runtime.role == "worker":
                runtime.works.pool.ring()
            runtime.tasks.start(_send(runtime, bell), "bell")

    return ring


def _cancel_here(executors: "list[Executor]", run_id: UUID) -> None:
    for executor in executors:
        executor.cancel(run_id)


async def _send(runtime: Runtime, bell: Bell) -> None:
    if isinstance(bell, RunReady):
        await runtime.doorbell.ring_run(bell.run_id, bell.lane)
    elif isinstance(bell, CancelAsked):
        await runtime.bus.ring_cancel(bell.run_id)


def _begin(runtime: Runtime) -> None:
    runtime.tasks.start(_report(runtime), "report")
    runtime.tasks.start(runtime.hub.publish(), "publish")
    runtime.tasks.start(runtime.bus.serve(runtime.hub), "listen")
    if runtime.workshop is None:
        return
    runtime.tasks.start(_keep_leases(runtime.workshop.executor), "leases")
    if runtime.role == "worker":
        runtime.tasks.start(runtime.workshop.pool.run(), "claims")


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
                await executor.look_for_cancels()
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
        await runtime.workshop.executor.drain(runtime.settings.server.shutdown_seconds)


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
    await runtime.guard.aclose()
    await runtime.doorbell.close()
    await runtime.bus.close()
    await runtime.database.close()
