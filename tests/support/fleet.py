"""A fleet of real processes (API, worker, scheduler) on one ledger, to be killed, frozen and started again."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from support.forks import Forked
from support.loopback import Loopback, free_port
from support.model_server import model_server_process
from support.programs import clean_environment
from support.receiver import receiver_process

from app.database.connection import Database
from app.models.errors import Unavailable

Role = Literal["api", "worker", "scheduler"]
READY_SECONDS = 30.0
LEASE_SECONDS = 3.0


@dataclass(eq=False)
class Member:
    """One process of the fleet. It is `ready` until a blow; `owner` is the name under which it holds leases.

    `fell_at` is the Unix time of its SIGKILL.
    """

    role: Role
    name: str
    process: Forked
    log: Path
    port: int | None = None
    ready: bool = False
    owner: str = ""
    fell_at: float | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def url(self) -> str:
        """Where an API process answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def exit_code(self) -> int | None:
        """How it ended (a signal as its negative number), or None while it lives."""
        return self.process.poll()


class Fleet:
    """Starts, kills and watches processes that share `environment`. Ends only what it started."""

    def __init__(self, database_url: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.members: list[Member] = []
        self.fallen: list[Member] = []
        self.database = Database(database_url, pool_size=4)
        self._folder = folder
        self._environment = clean_environment(**environment)
        self._http = httpx.AsyncClient(timeout=5)
        self._count = 0

    def of(self, role: Role) -> list[Member]:
        """The processes of a role that are ready."""
        return [member for member in self.members if member.role == role and member.ready]

    async def start(self, role: Role, **environment: str) -> Member:
        """Start one process and return when it is ready for work."""
        self._count += 1
        name = f"{role}-{self._count}"
        log = self._folder / f"{name}.log"
        port = free_port() if role == "api" else None
        arguments = ["--port", str(port)] if port else []
        with log.open("ab") as output:
            process = await asyncio.to_thread(
                Forked,
                "app.cli",
                role,
                *arguments,
                environment={**self._environment, **environment},
                folder=self._folder,
                output=output,
            )
        member = Member(role, name, process, log, port)
        self.members.append(member)
        await self._until(lambda: self._answers(member), f"{name} to be ready", READY_SECONDS, member)
        member.ready = True
        return member

    def kill(self, member: Member) -> float:
        """SIGKILL. Returns the Unix time of the blow."""
        member.ready = False
        self.members.remove(member)
        self.fallen.append(member)
        member.fell_at = time.time()
        os.kill(member.pid, signal.SIGKILL)
        return member.fell_at

    def freeze(self, member: Member) -> None:
        """SIGSTOP: it keeps its connections and does nothing."""
        member.ready = False
        os.kill(member.pid, signal.SIGSTOP)

    def thaw(self, member: Member) -> None:
        """SIGCONT."""
        os.kill(member.pid, signal.SIGCONT)
        member.ready = True

    async def stop(self, member: Member, seconds: float = 30) -> int:
        """SIGTERM, and how it ended."""
        member.ready = False
        os.kill(member.pid, signal.SIGTERM)
        await asyncio.to_thread(member.process.wait, seconds)
        assert member.exit_code is not None, f"{member.name} did not end within {seconds} s\n{self.report()}"
        self.members.remove(member)
        return member.exit_code

    def gone(self) -> list[str]:
        """Processes that ended and that nobody killed or stopped."""
        return [f"{one.name} ended with {one.exit_code}" for one in self.members if one.exit_code is not None]

    def report(self) -> str:
        """What went wrong, by the processes' logs."""
        told = [f"{one.name}: exit code {one.exit_code}" for one in (*self.fallen, *self.members)]
        for member in (*self.fallen, *self.members):
            told += [f"{member.name} {line}" for line in self.grave(member)[-8:]]
        return "\n".join(told)

    def grave(self, member: Member) -> list[str]:
        """The lines of a process' log that are errors, tracebacks included."""
        lines = member.log.read_text(errors="replace").splitlines() if member.log.exists() else []
        return [line for line in lines if not line.startswith("{") or '"level": "error"' in line]

    async def close(self) -> None:
        """End what still runs: asked first, then killed."""
        for member in self.members:
            if member.exit_code is None:
                os.kill(member.pid, signal.SIGCONT)
                os.kill(member.pid, signal.SIGTERM)
        deadline = time.monotonic() + 12
        for member in self.members:
            await asyncio.to_thread(member.process.wait, max(deadline - time.monotonic(), 0.1))
            if member.exit_code is None:
                os.kill(member.pid, signal.SIGKILL)
        await self._http.aclose()
        await self.database.close()

    async def _answers(self, member: Member) -> object:
        try:
            async with self.database.across() as unit:
                member.owner = next((row.id for row in await unit.processes.present() if row.pid == member.pid), "")
            if member.role == "api":
                return member.owner and (await self._http.get(f"{member.url}/health/ready")).status_code == 200
        except (httpx.TransportError, Unavailable):
            return False
        return member.owner

    async def _until(
        self, condition: Callable[[], Awaitable[object]], what: str, seconds: float, member: Member
    ) -> None:
        deadline = time.monotonic() + seconds
        while not await condition():
            tail = member.log.read_text(errors="replace")[-3000:] if member.log.exists() else ""
            assert member.exit_code is None, f"{member.name} ended with {member.exit_code}:\n{tail}"
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}:\n{tail}"
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Theatre:
    """A fleet with the world around it: a scripted model provider and a receiver of effects."""

    fleet: Fleet
    model: Loopback
    receiver: Loopback


@contextlib.asynccontextmanager
async def theatre(database_url: str, redis_url: str, folder: Path, **environment: str) -> AsyncGenerator[Theatre]:
    """Yield an empty fleet and its world; tell what the processes logged when the block fails."""
    with model_server_process() as model, receiver_process() as receiver:
        variables: dict[str, Any] = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "SIXLANE_DATA": str(folder / "data"),
            "SIXLANE_LEASE_SECONDS": str(LEASE_SECONDS),
            "SIXLANE_SHUTDOWN_SECONDS": "2",
            "SIXLANE_CAP_USER_BACKGROUND": "0",
            "SIXLANE_MAX_ATTEMPTS": "60",
            "SIXLANE_LOG_FORMAT": "json",
            "OPENAI_API_KEY": "scripted-key",
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "DEFAULT_MODEL": "openai:scripted",
            "OUTBOUND_ALLOW_HOSTS": urlsplit(receiver.url).netloc,
        }
        fleet = Fleet(database_url, folder, variables | environment)
        try:
            yield Theatre(fleet, model, receiver)
        except BaseException as error:
            error.add_note(fleet.report())
            raise
        finally:
            await fleet.close()
