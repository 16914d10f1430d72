"""A small process tree: starts our programs, prefixes what they say, restarts the dead, stops them in good order."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.integrations.launch import launcher

BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_SECONDS = 30.0
"""A program that ran this long has started well: its next restart does not wait longer than its first."""
REFUSED = 78
"""The exit status of a program whose configuration is at fault: starting it again would not help."""

Say = Callable[[str, str], None]
"""Takes a role and one line of text."""


class ProgramRefused(Exception):
    """A program will not run with this configuration; what it said has been passed on."""


@dataclass(frozen=True)
class Program:
    """One program of the tree; `descriptors` are inherited open files, `port` is told to whoever asks."""

    role: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    descriptors: Sequence[int] = ()
    port: int | None = None


class Supervised:
    """One program, kept running until it is stopped."""

    def __init__(self, program: Program, say: Say, changed: Callable[[], None]) -> None:
        self.program = program
        self._say = say
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self.begun = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def keep(self) -> None:
        """Run it, again after every end, until `stop`. Raise ProgramRefused when it exits with REFUSED."""
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            status = await self.once()
            if status == REFUSED:
                raise ProgramRefused(f"{self.program.role} does not run with this configuration; see its lines above")
            if self._stopping.is_set():
                return
            failures = 0 if time.monotonic() - began > STEADY_SECONDS else failures
            pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            failures += 1
            self._say(self.program.role, f"{_ending(status)}; starting again in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def once(self) -> int:
        """Run it to its end, passing on what it says, and return its exit status."""
        self._process = await asyncio.create_subprocess_exec(
            *launcher(signal.SIGTERM, self.program.command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(self.program.environment),
            pass_fds=self.program.descriptors,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end them in order
        )
        assert self._process.stdout is not None
        self.begun.set()
        self._changed()
        try:
            await self._pass_on(self._process.stdout)
            return await self._process.wait()
        finally:
            self._changed()

    async def stop(self, grace_seconds: float) -> None:
        """Ask it to end and wait; after the grace it is killed."""
        self._stopping.set()
        if self._process is None or self._process.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), grace_seconds)
        except TimeoutError:
            self._say(self.program.role, f"still there after {grace_seconds:g} s: killed")
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _pass_on(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._say(self.program.role, line.decode(errors="replace").rstrip())
        if rest:
            self._say(self.program.role, rest.decode(errors="replace").rstrip())


class Tree:
    """All programs of one `up`; `changed` is called whenever one starts or ends."""

    def __init__(self, say: Say, changed: Callable[["Tree"], None]) -> None:
        self._say = say
        self._changed = changed
        self._members: list[Supervised] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, program: Program) -> None:
        """Keep a program running until `stop`."""
        task = asyncio.create_task(self._member(program).keep(), name=program.role)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    async def run_once(self, program: Program) -> int:
        """Run a program to its end and return its exit status."""
        return await self._member(program).once()

    async def begun(self) -> None:
        """Wait until every program has been started for the first time."""
        await asyncio.gather(*(member.begun.wait() for member in self._members))

    async def refused(self) -> None:
        """Wait until a program will not run, and raise what stopped it."""
        await asyncio.shield(self._refused)

    def processes(self) -> list[dict[str, str | int]]:
        """Return role, pid and port of those that run."""
        rows: list[dict[str, str | int]] = []
        for member in self._members:
            if member.pid is not None:
                port = {"port": member.program.port} if member.program.port else {}
                rows.append({"role": member.program.role, "pid": member.pid, **port})
        return rows

    async def stop(self, grace_seconds: float) -> None:
        """End all of them side by side, each within the grace, and pass on their last words."""
        await asyncio.gather(*(member.stop(grace_seconds) for member in self._members))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._refused.cancel()

    def kill(self) -> None:
        """End all of them at once."""
        for member in self._members:
            member.kill()

    def _member(self, program: Program) -> Supervised:
        member = Supervised(program, self._say, lambda: self._changed(self))
        self._members.append(member)
        return member

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._refused.done():
            self._refused.set_exception(error)


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"
