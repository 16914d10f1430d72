"""Processes of ours, forked from a server that has imported the product: a start costs a tenth of a second, not three.

Everything else, from reading the environment to the last signal, is that process' own. None outlives the tests.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from support.programs import Running

TESTS = Path(__file__).resolve().parent.parent
VARIABLE = "SIXLANE_TEST_FORKS"


class SessionForks:
    """The server of forks of one test session; it costs next to nothing until it is asked."""

    def __init__(self, folder: Path) -> None:
        self._address = folder / "forks.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and publish its address to the processes of this session."""
        path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self._address))
            listening.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "support.fork_server", str(listening.fileno())],
                env=os.environ | {"PYTHONPATH": path},
                pass_fds=(listening.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        os.environ[VARIABLE] = str(self._address)

    def stop(self) -> None:
        """Kill it; what it has become ends with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        os.environ.pop(VARIABLE, None)


class Forked:
    """One process. It is told apart from others by its connection: hanging up kills it."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        folder: Path,
        output: IO[bytes] | int,
        error: IO[bytes] | int | None = None,
    ) -> None:
        """Run `main` of a module; `error` goes where `output` goes unless it is given."""
        wanted = {
            "module": module,
            "arguments": ["sixlane", *arguments],
            "environment": dict(environment),
            "folder": str(folder),
        }
        body = json.dumps(wanted).encode()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(os.environ[VARIABLE])
        files = [one if isinstance(one, int) else one.fileno() for one in (output, error or output)]
        socket.send_fds(self._server, [len(body).to_bytes(4, "big")], files)
        self._server.sendall(body)
        self._heard = b""
        self._lock = threading.Lock()
        self.returncode: int | None = None
        self.pid = int(self._next(60) or 0)
        assert self.pid, "the server of forks does not answer"

    def poll(self) -> int | None:
        """How it ended (a signal as its negative number), or None while it lives."""
        return self.wait(0)

    def wait(self, seconds: float = 60) -> int | None:
        """Wait for its end; None when it still lives after that time."""
        deadline = time.monotonic() + seconds
        while self.returncode is None:
            with self._lock:
                if self.returncode is None and (line := self._next(0)) is not None:
                    self.returncode = int(line)
                    self._server.close()
            left = deadline - time.monotonic()
            if self.returncode is not None or left <= 0:
                break
            with contextlib.suppress(OSError, ValueError):  # another thread has heard of the end
                select.select([self._server], [], [], left)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Signal it, if it lives."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, if it lives."""
        self.send_signal(signal.SIGKILL)

    def _next(self, seconds: float) -> bytes | None:
        while b"\n" not in self._heard:
            if not select.select([self._server], [], [], seconds)[0]:
                return None
            piece = self._server.recv(64)
            assert piece, "the server of forks is gone"
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        return line


class Talking(Running):
    """A command of ours whose output is collected, forked."""

    def __init__(self, *words: str, cwd: Path, environment: Mapping[str, str]) -> None:
        self.lines = []
        reading, writing = os.pipe()
        try:
            self.process = Forked("app.cli", *words, environment=environment, folder=cwd, output=writing)
        finally:
            os.close(writing)
        self._listen(os.fdopen(reading))


def begin(module: str, *arguments: str, output: int) -> "Forked | subprocess.Popen[bytes]":
    """Run `main` of a module of ours: forked in a session of tests, as a program of its own elsewhere."""
    if VARIABLE in os.environ:
        return Forked(module, *arguments, environment=os.environ, folder=TESTS, output=output, error=2)
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, stdout=output, env=os.environ | {"PYTHONPATH": path})


def sixlane(*words: object, folder: Path, environment: Mapping[str, str], seconds: float = 60) -> str:
    """Run a command of ours to its end, which must be a good one, and return its output."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as error:
        command = Forked(
            "app.cli", *map(str, words), environment=environment, folder=folder, output=output, error=error
        )
        status = command.wait(seconds)
        if status is None:
            command.kill()
        for one in (output, error):
            one.seek(0)
        said, complained = output.read().decode(), error.read().decode()
    assert status == 0, said + complained
    return said
