"""A PostgreSQL and a Valkey for the tests: started once per session, in front of all its workers, and never durable."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from app.integrations.embedded import EmbeddedStores, StoreUrls

VARIABLE = "SIXLANE_TEST_STORES"
"""Where the session's first process tells its workers the addresses; they inherit its environment."""


def outside_urls() -> StoreUrls | None:
    """The addresses of an outside PostgreSQL and Redis, where the environment names them."""
    database, redis = (os.environ.get(f"SIXLANE_OUTSIDE_{name}_URL") for name in ("DATABASE", "REDIS"))
    return StoreUrls(database.replace("://", "+asyncpg://", 1), redis) if database and redis else None


class SessionStores:
    """The stores of one test session: `start` them in `pytest_configure` of the process that has no `workerinput`.

    Where the environment names outside stores, these are used and nothing is started.
    """

    def __init__(self) -> None:
        # a short path below the temporary folder: sockets lie in it
        self.data = Path(tempfile.mkdtemp(prefix="sixlane-test-"))
        self._stores = EmbeddedStores(self.data, durable=False)

    def start(self) -> StoreUrls:
        """Start both and publish the addresses to the processes of this session."""
        urls = outside_urls() or asyncio.run(self._stores.start())
        os.environ[VARIABLE] = json.dumps(urls)
        return urls

    def stop(self) -> None:
        """Stop both and remove their files."""
        if outside_urls() is None:
            asyncio.run(self._stores.stop())
        os.environ.pop(VARIABLE, None)
        shutil.rmtree(self.data, ignore_errors=True)


def session_urls() -> StoreUrls:
    """Return the addresses of the session's stores, in any of its processes."""
    return StoreUrls(*json.loads(os.environ[VARIABLE]))


@contextlib.asynccontextmanager
async def own_stores(*, durable: bool = False) -> AsyncGenerator[EmbeddedStores]:
    """Yield running stores for one test that stops, kills or empties them."""
    with tempfile.TemporaryDirectory(prefix="sixlane-own-", ignore_cleanup_errors=True) as folder:
        stores = EmbeddedStores(Path(folder), durable=durable)
        await stores.start()
        try:
            yield stores
        finally:
            await stores.stop()
