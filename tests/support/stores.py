"""A PostgreSQL and a Valkey for the tests: started once per session, in front of all its workers, and never durable."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

from app.integrations.embedded import EmbeddedStores, StoreUrls

VARIABLE = "SIXLANE_TEST_STORES"
"""Where the session's first process tells its workers the addresses; they inherit its environment."""
FOLDER = "SIXLANE_TEST_FOLDER"
"""Where it tells them the folder that goes with the session."""
MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 4 << 30


def outside_urls() -> StoreUrls | None:
    """The addresses of an outside PostgreSQL and Redis, where the environment names them."""
    database, redis = (os.environ.get(f"SIXLANE_OUTSIDE_{name}_URL") for name in ("DATABASE", "REDIS"))
    return StoreUrls(database.replace("://", "+asyncpg://", 1), redis) if database and redis else None


def quick_place() -> Path | None:
    """Where files cost least: in memory, if there is plenty; None for the usual place.

    Every test gets a database and some get a cluster, and a disk's file system takes five times the CPU for them.
    """
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return None
    file_system, memory = os.statvfs(MEMORY), Path("/proc/meminfo").read_text()
    free = file_system.f_bavail * file_system.f_frsize
    available = next(int(line.split()[1]) * 1024 for line in memory.splitlines() if line.startswith("MemAvailable"))
    executable = not file_system.f_flag & os.ST_NOEXEC
    return MEMORY if executable and min(free, available) > ENOUGH_BYTES else None


def session_folder() -> Path:
    """Make the folder of a session that begins, and remove those of sessions that did not live to do so."""
    place = quick_place()
    for left in place.glob("sixlane-test-*-*") if place else ():
        if not Path(f"/proc/{left.name.split('-')[2]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    # a short path: sockets lie in it
    folder = Path(tempfile.mkdtemp(prefix=f"sixlane-test-{os.getpid()}-", dir=place or tempfile.gettempdir()))
    folder.chmod(0o711)  # servers that run as somebody else pass it
    return folder


@contextlib.contextmanager
def temporary_folder() -> Generator[Path]:
    """Yield a folder of the session's that is gone afterwards; its path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="sl-", dir=os.environ[FOLDER], ignore_cleanup_errors=True) as folder:
        yield Path(folder)


class SessionStores:
    """The stores of one test session: `start` them in `pytest_configure` of the process that has no `workerinput`.

    Where the environment names outside stores, these are used and nothing is started.
    """

    def __init__(self) -> None:
        self.folder = session_folder()
        self._stores = EmbeddedStores(self.folder / "stores", durable=False)

    def start(self) -> StoreUrls:
        """Start both and publish the addresses to the processes of this session."""
        os.environ[FOLDER] = str(self.folder)
        urls = outside_urls() or asyncio.run(self._stores.start())
        os.environ[VARIABLE] = json.dumps(urls)
        return urls

    def stop(self) -> None:
        """Stop both and remove their files."""
        if outside_urls() is None:
            asyncio.run(self._stores.stop())
        for name in (VARIABLE, FOLDER):
            os.environ.pop(name, None)
        shutil.rmtree(self.folder, ignore_errors=True)


def session_urls() -> StoreUrls:
    """Return the addresses of the session's stores, in any of its processes."""
    return StoreUrls(*json.loads(os.environ[VARIABLE]))


@contextlib.asynccontextmanager
async def own_stores(*, durable: bool = False) -> AsyncGenerator[EmbeddedStores]:
    """Yield running stores for one test that stops, kills or empties them."""
    with temporary_folder() as folder:
        stores = EmbeddedStores(folder, durable=durable)
        await stores.start()
        try:
            yield stores
        finally:
            await stores.stop()
