"""What runs on a data folder: one `up` at a time, and the file in which it says what it started."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from app.integrations.data_folder import FolderLock, private_folder
from app.integrations.embedded_postgres import EmbeddedPostgres
from app.integrations.embedded_valkey import EmbeddedValkey
from app.integrations.server_process import command_line, is_running
from app.integrations.unprivileged import place_for

STATE_FILE = "state.json"
OURS = ("postgres", "postgres.new", "s", "valkey", "run", "logs", "secrets", STATE_FILE)
Process = dict[str, str | int]


class Standing(NamedTuple):
    """The server's address (None when none runs), its data folder, and its processes with role, pid and port."""

    url: str | None
    data: Path
    processes: list[Process]

    def as_json(self) -> dict[str, Any]:
        """Return the form that `status --json` prints."""
        return {"url": self.url, "data": str(self.data), "processes": self.processes}


def up_lock(data: Path) -> FolderLock:
    """Return the lock that an `up` holds on its data folder."""
    return FolderLock(private_folder(data) / "up.lock")


def is_up(data: Path) -> bool:
    """Whether an `up` runs on the data folder."""
    if not data.is_dir():
        return False
    lock = up_lock(data)
    free = lock.acquire()
    lock.release()
    return not free


def write_standing(standing: Standing) -> None:
    """Replace the state file, whole."""
    draft = standing.data / f".{STATE_FILE}.{os.getpid()}"
    draft.write_text(json.dumps(standing.as_json(), indent=1))
    draft.replace(standing.data / STATE_FILE)


def read_standing(data: Path) -> Standing:
    """Return what runs on the data folder now, whoever started it."""
    if not data.is_dir():
        return Standing(None, data, [])
    stores = store_processes(data)
    if not is_up(data):
        return Standing(None, data, stores)
    try:
        told = json.loads((data / STATE_FILE).read_text())
    except (OSError, ValueError):
        return Standing(None, data, stores)
    ours = [row for row in told["processes"] if is_running(row["pid"])]
    return Standing(told["url"], data, ours + stores)


def store_processes(data: Path) -> list[Process]:
    """Return the embedded servers that run on the data folder."""
    rows: list[Process] = []
    for server in (EmbeddedPostgres(data), EmbeddedValkey(data)) if (data / "secrets").is_dir() else ():
        pid = server.recorded_pid()
        if pid is not None and server.owns(command_line(pid)):
            rows.append({"role": server.name, "pid": pid})
    return rows


def forget_standing(data: Path) -> None:
    """Remove the state file."""
    (data / STATE_FILE).unlink(missing_ok=True)


def remove_data(data: Path) -> bool:
    """Remove what is ours from a data folder, and the folder if nothing else is in it; False if nothing was there.

    Whatever else lies in the folder stays: someone may have named a folder of theirs.
    """
    if not (data / "secrets").is_dir():
        return False
    elsewhere = place_for(data).folder
    sockets = [server.sockets for server in (EmbeddedPostgres(data), EmbeddedValkey(data))]
    for path in (*(data / name for name in OURS), *data.glob("*.lock"), *sockets):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if elsewhere != data:
        shutil.rmtree(elsewhere)
    if not any(data.iterdir()):
        data.rmdir()
    return True
