"""Tasks and runs for tests of notifications, and a courier that works only when it is told to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from support.far_inbox import FarInbox

from app.channels.channel import Means
from app.database.connection import Database
from app.integrations.http import OutboundGuard, Resolver, resolve
from app.integrations.slack import SlackOptions, SlackSender
from app.integrations.smtp import Mailer, MailServer
from app.integrations.vault import Vault
from app.models.delivery import Attempt, Delivery
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.notification import NotificationConfig
from app.models.run import Run, RunResult
from app.models.task import Task
from app.services import deliveries, notifications, users
from app.services.courier import Courier, CourierOptions

VAULT = Vault([("test", b"k" * 32)])
BASE = "https://sixlane.example"


def hook(far: FarInbox, **more: Any) -> dict[str, Any]:
    """How a task tells that receiver."""
    return {"channels": ["webhook"], "webhook_url": f"{far.url}/hook", **more}


def run_of(task: Task, status: str = "completed", **more: Any) -> Run:
    """A run of the task as the ledger would have it at its end."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "workspace_id": task.workspace_id,
        "id": new_id(),
        "conversation_id": new_id(),
        "task_id": task.id,
        "user_id": task.user_id,
        "pattern": task.pattern,
        "agent": task.agent,
        "agent_version": "1",
        "model": "demo",
        "lane": "background",
        "priority": 0,
        "status": status,
        "status_reason": None,
        "status_detail": None,
        "waiting_on": None,
        "available_at": now,
        "holds_conversation": False,
        "lease_owner": None,
        "lease_until": None,
        "fence": 1,
        "attempt": 1,
        "max_attempts": 3,
        "checkpoints": 1,
        "last_seq": 3,
        "cancel_requested_at": None,
        "parent_run_id": None,
        "root_run_id": None,
        "trigger": "schedule",
        "input": {"prompt": task.prompt},
        "limits": {},
        "taint": [],
        "streamed": False,
        "state": None,
        "usage": {},
        "created_by": "scheduler",
        "created_at": now,
        "started_at": now,
        "completed_at": now,
    }
    return Run(**{**values, **more})


def result_of(run: Run, text: str | None = "All is **well**.", data: Any = None) -> RunResult:
    """What the run came to."""
    return RunResult(run.workspace_id, run.id, text, data, None, None, run.created_at)


@dataclass
class Room:
    """A workspace, its owner, and a courier."""

    database: Database
    owner: Principal
    courier: Courier
    running: set[asyncio.Task[None]]

    async def task(self, config: dict[str, Any], title: str = "Morning report") -> Task:
        """A task that tells as `config` says."""
        stored = NotificationConfig.model_validate(config).model_dump(mode="json", exclude_none=True)
        async with self.database.begin(self.owner.workspace_id) as unit:
            return await unit.tasks.add(
                {
                    "id": new_id(),
                    "user_id": self.owner.user_id,
                    "pattern": "delegation",
                    "agent": "assistant",
                    "title": title,
                    "prompt": "Report",
                    "notification_config": stored,
                }
            )

    async def tell(
        self,
        task: Task,
        status: str = "completed",
        *,
        text: str | None = "All is **well**.",
        data: Any = None,
        moment: notifications.Moment = None,
        **more: Any,
    ) -> Run:
        """Settle a run of the task."""
        run = run_of(task, status, **more)
        await self.again(task, run, result_of(run, text, data), moment)
        return run

    async def again(self, task: Task, run: Run, result: RunResult | None, moment: notifications.Moment = None) -> None:
        """Settle this run."""
        async with self.database.begin(self.owner.workspace_id) as unit:
            await notifications.after_run(unit, task, run, result, moment)

    async def deliver(self) -> None:
        """Send what is due, until nothing is."""
        while await self.courier.look():
            await self.courier.idle()

    async def rows(self, **equal: Any) -> list[Delivery]:
        """The deliveries, the first one first."""
        async with self.database.begin(self.owner.workspace_id) as unit:
            return (await deliveries.page(unit, self.owner, limit=200, after=None, **equal))[::-1]

    async def row(self) -> Delivery:
        """The only delivery."""
        (one,) = await self.rows()
        return one

    async def attempts(self, delivery_id: UUID) -> list[Attempt]:
        """Its tries."""
        async with self.database.begin(self.owner.workspace_id) as unit:
            return await unit.deliveries.attempts(delivery_id)

    async def resend(self, delivery_id: UUID) -> Delivery:
        """Send it again."""
        async with self.database.begin(self.owner.workspace_id) as unit:
            return (await deliveries.resend(unit, self.owner, delivery_id, once=None))[0]

    async def later(self, seconds: float) -> None:
        """Let time pass in the ledger."""
        async with self.database.across() as unit:
            await unit.connection.exec_driver_sql(
                f"UPDATE app_clock SET offset_by = offset_by + make_interval(secs => {seconds})"
            )


def another(room: Room, means: Means, **options: Any) -> Room:
    """The same workspace, with the courier of another process."""
    running: set[asyncio.Task[None]] = set()
    return replace(room, courier=courier_of(room.database, means, running, **options), running=running)


def courier_of(database: Database, means: Means, running: set[asyncio.Task[None]], **options: Any) -> Courier:
    """A courier whose sends are kept in `running`."""

    def spawn(work: Any, name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        running.add(task)
        task.add_done_callback(running.discard)
        return task

    return Courier(database, means, CourierOptions(base_url=BASE, **options), spawn)


def means_of(
    *,
    allow: list[str] | None = None,
    resolver: Resolver = resolve,
    mail: MailServer | None = None,
    mail_from: str = "Sixlane <robot@sixlane.example>",
    slack: SlackOptions | None = None,
    seconds: float = 5.0,
) -> Means:
    """What channels send by in a test."""
    guard = OutboundGuard(allow or [], resolver=resolver)
    return Means(
        guard=guard,
        slack=SlackSender(slack or SlackOptions(), guard, seconds=seconds),
        signing_secret=lambda workspace_id: deliveries.signing_secret(VAULT, workspace_id),
        mailer=Mailer(mail) if mail else None,
        mail_from=mail_from,
        seconds=seconds,
    )


@asynccontextmanager
async def open_room(database: Database, means: Means, **options: Any) -> AsyncGenerator[Room]:
    """A workspace with a courier; what it has on its way is dropped at the end."""
    running: set[asyncio.Task[None]] = set()
    courier = courier_of(database, means, running, **options)
    room = Room(database, await users.local_owner(database), courier, running)
    try:
        yield room
    finally:
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await courier.aclose()
        await means.guard.aclose()
