"""What one process has: its long-lived parts, and the tasks that run beside its requests."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import structlog

from app import __version__
from app.config import Settings
from app.database.connection import Database
from app.integrations.bus import Bus
from app.integrations.http import OutboundGuard
from app.integrations.metrics import Metrics
from app.integrations.queue import Doorbell
from app.integrations.vault import Vault
from app.services.event_hub import EventHub
from app.services.settling import Settler

if TYPE_CHECKING:
    from app.agents.llm import ModelSource
    from app.agents.registry import AgentRegistry
    from app.services.agent_executor import Executor
    from app.services.chat import Chat
    from app.services.claims import ClaimPool
    from app.services.courier import Courier
    from app.services.mailbox import Mailboxes
    from app.services.slack_app import SlackApp

log = structlog.get_logger(__name__)

Role = Literal["api", "worker", "scheduler", "cli"]


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
    mailboxes: "Mailboxes | None" = None


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
    settler: Settler
    courier: "Courier | None"
    timetable_changed: asyncio.Event
    workshop: Workshop | None = None
    slack: "SlackApp | None" = None
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
