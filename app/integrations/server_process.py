"""One server process of ours: start it, wait until it answers, stop it, and clear what a crash left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

START_SECONDS = 60.0
START_ATTEMPTS = 4
POLL_SECONDS = 0.01
LOG_BYTES = 10_000_000
"""A longer log is put aside at the next start; the one put aside before goes."""
_STOP_LADDER = ((signal.SIGQUIT, 3.0), (signal.SIGKILL, 3.0))


class ServerFailed(Exception):
    """A server did not start; the message ends with the last lines of its log."""


class Server(Protocol):
    """What there is to know about one kind of server."""

    name: str
    log: Path
    stop_signal: signal.Signals

    async def prepare(self) -> None:
        """Make its folders and files, once; cheap when they exist."""
        ...

    def command(self) -> list[str]:
        """Return the command line that runs it in the foreground."""
        ...

    async def is_ready(self) -> bool:
        """Whether a server answers at the address now."""
        ...

    def recorded_pid(self) -> int | None:
        """Return the process id that the last server wrote down, or None."""
        ...

    def owns(self, line: str) -> bool:
        """Whether a command line is that of a server on these files."""
        ...

    def forget(self) -> None:
        """Remove the traces of a server that no longer runs."""
        ...


def command_line(pid: int) -> str:
    """Return the command line of a living process, or an empty text."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    return _ps("command=", pid)


def is_running(pid: int) -> bool:
    """Whether the process lives; one that has ended and that nobody has waited for does not.

    The command line cannot tell: a process that is just replacing itself has none for a moment.
    """
    if sys.platform == "linux":
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
    else:
        state = _ps("stat=", pid)
    return state[:1] not in ("", "Z", "X")


def _ps(column: str, pid: int) -> str:
    done = subprocess.run(["/bin/ps", "-o", column, "-p", str(pid)], capture_output=True, check=False)  # noqa: S603
    return done.stdout.decode(errors="replace").strip()


def clean_environment() -> dict[str, str]:
    """Return the few variables that a server and its launcher need: PGPORT and its like would change what we start."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"} | kept


class ServerProcess:
    """A server as a child of this process. Every method belongs on the main thread (see launch.py)."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the child runs, else None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> None:
        """Start the server and return when it answers. Raise ServerFailed."""
        await self.server.prepare()
        for attempt in range(1, START_ATTEMPTS + 1):
            await self._clear_leftover()
            self._spawn()
            if await self._wait_ready():
                return
            # PostgreSQL refuses while the children of a killed predecessor still hold its shared memory
            await asyncio.sleep(0.25 * attempt)
        raise ServerFailed(f"{self.server.name} does not start; its log {self.server.log} ends with:\n{self._tail()}")

    def _spawn(self) -> None:
        self.server.log.parent.mkdir(parents=True, exist_ok=True)
        if self.server.log.exists() and self.server.log.stat().st_size > LOG_BYTES:
            self.server.log.replace(self.server.log.with_suffix(".log.1"))
        with self.server.log.open("ab") as log:
            # a session of its own: Ctrl-C in a terminal must not reach it before those that use it
            self._process = subprocess.Popen(  # noqa: S603  (our own binaries, no shell)
                self.server.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.server.log.parent,
                env=clean_environment(),
                start_new_session=True,
            )

    async def _wait_ready(self) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while self.pid is not None:
            if await self.server.is_ready():
                return True
            if time.monotonic() > deadline:
                await self.stop()
                raise ServerFailed(f"{self.server.name} does not answer after {START_SECONDS:.0f} s:\n{self._tail()}")
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def stop(self) -> None:
        """Stop the child and wait for its end: first as it likes it, then harder."""
        process = self._process
        if process is None:
            return
        for number, seconds in ((self.server.stop_signal, 10.0), *_STOP_LADDER):
            if process.poll() is not None:
                break
            process.send_signal(number)
            await _until(lambda: process.poll() is not None, seconds)
        self._process = None

    async def _clear_leftover(self) -> None:
        pid = self.server.recorded_pid()

        def gone() -> bool:
            return pid is None or not self.server.owns(command_line(pid))

        for number, seconds in ((self.server.stop_signal, 10.0), *_STOP_LADDER):
            if pid is None or gone():
                break
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                break
            await _until(gone, seconds)
        self.server.forget()

    def _tail(self) -> str:
        try:
            lines = self.server.log.read_text(errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return "\n".join(lines[-12:])


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True
