"""The data folder: its modes, its generated secrets, its locks, and short folders for sockets."""

import fcntl
import hashlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

from app.models.errors import SettingError

SOCKET_FOLDER_BYTES = 90
"""A socket's whole path may have 107 bytes; this leaves room for the longest name of ours."""


def private_folder(folder: Path, mode: int = 0o700) -> Path:
    """Create the folder if it is missing, with this mode; a folder that exists and its parents keep theirs.

    Raise SettingError if that cannot be, or if nothing can be written there.
    """
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)
    except OSError as error:
        raise SettingError(f"SIXLANE_DATA: the folder {folder} cannot be made ({error.strerror})") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingError(f"SIXLANE_DATA: nothing can be written to {folder}")
    return folder


def secret(data: Path, name: str) -> str:
    """Return the data folder's own secret of that name: 43 characters, made at the first call, file mode 0600."""
    path = private_folder(private_folder(data) / "secrets") / name
    if not path.exists():
        draft = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(descriptor)
        try:
            path.hardlink_to(draft)  # the first one wins, whole or not at all
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def socket_folder(folder: Path, owner: tuple[int, int] | None = None) -> Path:
    """Return a folder of mode 0700 for sockets: `folder`, or a short one keyed by its path if that is too long."""
    if len(os.fsencode(folder)) > SOCKET_FOLDER_BYTES:
        key = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        short = os.environ.get("XDG_RUNTIME_DIR") if owner is None else None
        base = Path(short) if short and len(short) < 60 and Path(short).is_dir() else _temporary()
        folder = base / f"sixlane-{os.getuid()}-{key}"
    private_folder(folder)
    if owner and os.getuid() == 0:
        os.chown(folder, *owner)
    found = folder.lstat()
    expected = owner[0] if owner else os.getuid()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != expected or stat.S_IMODE(found.st_mode) & 0o077:
        raise SettingError(f"SIXLANE_DATA: the socket folder {folder} belongs to someone else or is open to others")
    return folder


def _temporary() -> Path:
    plain = Path("/tmp")  # noqa: S108  (short, and the folder made in it is checked for owner and mode)
    return plain if plain.is_dir() else Path(tempfile.gettempdir())


class FolderLock:
    """A lock on a file that the kernel drops when its holder ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def acquire(self) -> bool:
        """Take the lock if nobody holds it; never waits."""
        if self._descriptor is not None:
            return True
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """Return the process id that the last holder wrote, or None."""
        try:
            return int(self.path.read_text() or "0") or None
        except (OSError, ValueError):
            return None
