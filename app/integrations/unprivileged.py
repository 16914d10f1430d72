"""Running PostgreSQL when we are root: it refuses root, so it gets an unprivileged id and nothing else changes.

First choice is a user namespace that maps root to an unprivileged id for the server only: its files stay root's, and
nothing is copied. Where namespaces are forbidden it runs as `nobody`, below /var/lib/sixlane, with its binaries copied
there. No folder above our own ever changes its mode, and no user is created.
"""

import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import NamedTuple

import platformdirs

from app.integrations.data_folder import private_folder
from app.models.errors import SettingError

NOBODY = (65_534, 65_534)
STATE_FOLDER = Path("/var/lib/sixlane")
_NAMESPACE = ("--user", "--map-user=65534", "--map-group=65534")


class Place(NamedTuple):
    """Where PostgreSQL keeps its files, what goes before its commands, and who it runs as (None: as ourselves)."""

    folder: Path
    prefix: tuple[str, ...] = ()
    user: tuple[int, int] | None = None


def place_for(data: Path) -> Place:
    """Return how PostgreSQL runs for this data folder. Raise SettingError where `nobody` could not reach it."""
    if os.getuid() != 0:
        return Place(private_folder(data))
    program = unshare()
    if program:
        return Place(private_folder(data), prefix=(program, *_NAMESPACE))
    closed = _closed_parent(data)
    if closed is None:
        private_folder(data).chmod(0o711)  # our own folder: nobody passes it and cannot list it
        return Place(data, user=NOBODY)
    if not data.is_relative_to(platformdirs.user_data_path("sixlane", appauthor=False)):
        raise SettingError(
            f"SIXLANE_DATA: PostgreSQL has to run as the user nobody here, and nobody cannot pass {closed}; "
            f"choose a data folder below {STATE_FOLDER}, or start Sixlane as an ordinary user"
        )
    private_folder(data)
    key = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Place(private_folder(private_folder(STATE_FOLDER, 0o755) / key, mode=0o711), user=NOBODY)


def readable_copy(tree: Path, libraries: Path | None) -> Path:
    """Return a copy of the server's binaries that every user can read; made once per version."""
    target = private_folder(private_folder(STATE_FOLDER, 0o755) / "binaries", 0o755)
    name = hashlib.sha256(os.fsencode(tree) + str(tree.stat().st_mtime_ns).encode()).hexdigest()[:12]
    if not (target / name).is_dir():
        draft = private_folder(target / f"{name}.{os.getpid()}", 0o755)
        shutil.copytree(tree, draft / tree.parent.name / tree.name, symlinks=True)
        if libraries:
            shutil.copytree(libraries, draft / libraries.name)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        draft.rename(target / name)
    return target / name / tree.parent.name / tree.name


def unshare() -> str | None:
    """Return the program that makes a user namespace, or None where there is none or it is forbidden."""
    program = shutil.which("unshare")
    if not program:
        return None
    attempt = [program, *_NAMESPACE, "/bin/true"]
    done = subprocess.run(attempt, capture_output=True, check=False, timeout=10)  # noqa: S603  (no shell)
    return program if done.returncode == 0 else None


def _closed_parent(data: Path) -> Path | None:
    """Return the first folder above the data folder that other users cannot pass."""
    for folder in reversed(data.absolute().parents):
        if folder.exists() and not stat.S_IMODE(folder.stat().st_mode) & 0o001:
            return folder
    return None
