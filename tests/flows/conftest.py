"""A scripted provider and a receiver of effects beside the runtime, and the verbs that flow tests share."""

import re
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from support.far_inbox import FarInbox, far_inbox
from support.ledger import check_history
from support.loopback import Loopback
from support.model_server import model_server, script
from support.notices import Room, means_of, open_room
from support.openai_door import Door, door
from support.programs import SIXLANE, Running, clean_environment
from support.receiver import receiver
from support.stores import temporary_folder

from app.agents.registry import AgentRegistry
from app.config import load_settings
from app.database.connection import Database
from app.database.stores.entries import ConversationLog
from app.models.approval import Approval, DecisionIn
from app.models.conversation import Entry
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.run import OnBusy, Run, ToolCall
from app.models.task import TaskCreate
from app.runtime import Runtime, open_runtime
from app.services import approvals, chat, intake, orders, tasks, users
from app.services.chat import Say, Turn


@pytest.fixture(scope="session")
def model() -> Iterator[Loopback]:
    """The scripted OpenAI-compatible server."""
    with model_server() as server:
        yield server


@pytest.fixture(scope="session")
def far_end() -> Iterator[Loopback]:
    """The receiver of effects."""
    with receiver() as server:
        yield server


@dataclass
class Desk:
    """One workspace's runtime and what tests do with it."""

    runtime: Runtime
    owner: Principal
    far_end: Loopback

    async def conversation(self, *, query: str = "", approval: str = "allow", idempotent: bool = False) -> UUID:
        """A conversation whose agent may post to the receiver."""
        target = {"name": "hook", "url": f"{self.far_end.url}/hook?{query}", "approval": approval}
        async with self.runtime.database.begin(self.owner.workspace_id) as unit:
            row = await unit.conversations.add(
                {
                    "id": new_id(),
                    "user_id": self.owner.user_id,
                    "pattern": "chatbot",
                    "agent": "assistant",
                    "targets": [{**target, "idempotent": idempotent}],
                }
            )
        return row.id

    async def say(
        self,
        conversation_id: UUID,
        *steps: dict[str, Any],
        mark: str = "",
        on_busy: OnBusy = "reject",
        stream: bool = False,
        registry: AgentRegistry | None = None,
    ) -> Run:
        """Begin a scripted turn; with `registry`, under the definitions that another process would have."""
        wanted = Say(script(*steps, mark=mark, say="go"), stream=stream, on_busy=on_busy)
        here = self.runtime.works.chat
        place = replace(here, registry=registry or here.registry)
        run, *_ = await chat.say(place, self.owner, conversation_id, wanted, None)
        return run

    async def delegate(self, *steps: dict[str, Any], mark: str = "", **more: Any) -> Run:
        """Hand over a scripted task; `more` are fields of the request."""
        runtime = self.runtime
        wanted = TaskCreate.model_validate({"task_type": "delegation", "prompt": script(*steps, mark=mark), **more})
        desk = orders.Desk(runtime.registry, runtime.models, runtime.guard, runtime.vault)
        async with runtime.database.begin(self.owner.workspace_id) as unit:
            row, _, _ = await tasks.create(unit, self.owner, wanted, desk=desk, once=None)
            assert row.last_run_id is not None
            run = await unit.runs.get(row.last_run_id)
        assert run is not None
        return run

    async def answer(self, run: Run) -> Turn:
        """Wait for what a turn comes to."""
        return await chat.answer(self.runtime.works.chat, run)

    async def cancel(self, run_id: UUID) -> Run:
        """Ask a run to stop."""
        async with self.runtime.database.begin(self.owner.workspace_id) as unit:
            return await intake.cancel(unit, run_id)

    async def retry(self, run_id: UUID) -> Run:
        """Try a run again."""
        async with self.runtime.database.begin(self.owner.workspace_id) as unit:
            return await intake.retry(unit, run_id, self.owner.id)

    async def decide(self, approval_id: UUID, decision: str, **more: Any) -> Approval:
        """Decide an approval."""
        wanted = DecisionIn.model_validate({"decision": decision, **more})
        async with self.runtime.database.begin(self.owner.workspace_id) as unit:
            return await approvals.decide(unit, self.owner, approval_id, wanted, tools=self.runtime.registry)

    async def journal(self, run_id: UUID) -> list[ToolCall]:
        """The run's tool calls."""
        async with self.runtime.database.begin(self.owner.workspace_id) as unit:
            return await unit.journal.of_run(run_id)

    async def events(self, run: Run) -> list[dict[str, Any]]:
        """Everything that the run has told so far."""
        async with self.runtime.database.begin(self.owner.workspace_id) as unit:
            frames = await unit.events.after(run.id, run.conversation_id, 0)
        return [frame.event for frame in frames]

    async def entries(self, conversation_id: UUID) -> list[Entry]:
        """The conversation's log, checked to be one that a provider accepts."""
        async with self.runtime.database.begin(self.owner.workspace_id) as unit:
            found = await ConversationLog(unit.connection, unit.workspace_id).entries(conversation_id)
        check_history([entry.message for entry in found])
        return found


OpenDesk = Callable[..., AbstractAsyncContextManager[Desk]]
"""Opens a runtime on the scripted provider; variables given by name add to the settings, or replace them."""


@pytest.fixture
def open_desk(database_url: str, redis_url: str, tmp_path: Path, model: Loopback, far_end: Loopback) -> OpenDesk:
    """Desks with settings of the test's own."""

    @asynccontextmanager
    async def opened(**variables: str) -> AsyncGenerator[Desk]:
        environ = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "SIXLANE_DATA": str(tmp_path),
            "SIXLANE_LEASE_SECONDS": "3",
            "SIXLANE_SHUTDOWN_SECONDS": "1",
            "SIXLANE_CHAT_WAIT_SECONDS": "30",
            "OPENAI_API_KEY": "test",
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "DEFAULT_MODEL": "openai:scripted",
            "OUTBOUND_ALLOW_HOSTS": urlsplit(far_end.url).netloc,
            **variables,
        }
        async with open_runtime(load_settings(environ=environ, files=[]), "worker") as runtime:
            yield Desk(runtime, await users.local_owner(runtime.database), far_end)

    return opened


@pytest.fixture
async def desk(open_desk: OpenDesk) -> AsyncGenerator[Desk]:
    """A runtime on the scripted provider."""
    async with open_desk() as opened:
        yield opened


@pytest.fixture(scope="session")
def place() -> Generator[tuple[str, Path]]:
    """`sixlane up` on the demo model: its host and port, and a folder to work in, with its data in `data`.

    For the tests of the group "up" only, so that there is one.
    """
    with temporary_folder() as folder:
        command = [*SIXLANE, "up", "--data", str(folder / "data"), "--port", "0"]
        with Running(command, cwd=folder, environment=clean_environment()) as up:
            up.wait_for("Ctrl-C")
            found = re.search(r"API\s+http://(\S+)", up.text)
            assert found is not None
            yield found.group(1), folder


@pytest.fixture
def far() -> Iterator[FarInbox]:
    """A receiver of notifications."""
    with far_inbox() as opened:
        yield opened


@pytest.fixture
async def room(database: Database, far: FarInbox) -> AsyncGenerator[Room]:
    """A workspace whose notifications may go there."""
    async with open_room(database, means_of(allow=[far.netloc], seconds=2)) as opened:
        yield opened


@pytest.fixture
async def here(desk: Desk) -> AsyncGenerator[Door]:
    """The application on the desk's runtime at a real port, with the official client of the OpenAI API."""
    async with door(desk.runtime) as opened:
        yield opened
