"""The embedded stores: PostgreSQL and Valkey of a data folder, shared by every process that needs them.

Each server has a lock file. Whoever holds the lock runs the server as its child; everyone else attaches to it. When the
holder ends, however it ends, the kernel frees the lock, and the next attached process takes it and starts the server
again at the same address within a second: its clients see a short outage, as with any restart of a database.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from app.integrations.data_folder import FolderLock, private_folder
from app.integrations.embedded_postgres import EmbeddedPostgres
from app.integrations.embedded_valkey import EmbeddedValkey
from app.integrations.server_process import START_SECONDS, Server, ServerFailed, ServerProcess

log = structlog.get_logger(__name__)

WATCH_SECONDS = 0.25
RESTART_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


class StoreUrls(NamedTuple):
    """Where the two stores are, passwords included."""

    database_url: str
    redis_url: str


class StoreSettings(Protocol):
    """The settings that decide where the stores are."""

    @property
    def data(self) -> Path: ...
    @property
    def database_url(self) -> str | None: ...
    @property
    def redis_url(self) -> str | None: ...


class EmbeddedStores:
    """Both servers of a data folder, as children of this process and of no other; nothing watches them."""

    def __init__(self, data: Path, *, durable: bool = True) -> None:
        self.data = private_folder(data)
        self._postgres = EmbeddedPostgres(data, durable=durable)
        self._valkey = EmbeddedValkey(data, durable=durable)
        self.postgres = ServerProcess(self._postgres)
        self.valkey = ServerProcess(self._valkey)

    @property
    def urls(self) -> StoreUrls:
        """Where the stores are, whether they run or not."""
        return StoreUrls(self._postgres.url, self._valkey.url)

    async def start(self) -> StoreUrls:
        """Start both and return when they answer. Raise ServerFailed or SettingError."""
        await asyncio.gather(self.postgres.start(), self.valkey.start())
        return self.urls

    async def stop(self) -> None:
        """Stop both and wait for their end."""
        await asyncio.gather(self.valkey.stop(), self.postgres.stop())


class SharedServer:
    """A server that this process uses, and runs itself when nobody else does."""

    def __init__(self, server: Server, data: Path) -> None:
        self._server = server
        self._process = ServerProcess(server)
        self._lock = FolderLock(data / f"{server.name}.lock")

    async def attach(self) -> None:
        """Return when the server answers, having started it if nobody runs it. Raise ServerFailed."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._lock.acquire():
                await self._start()
                return
            if await self._server.is_ready():
                return
            if time.monotonic() > deadline:
                raise ServerFailed(
                    f"{self._server.name}: process {self._lock.holder()} runs it, but it does not answer"
                )
            await asyncio.sleep(WATCH_SECONDS / 5)

    async def keep(self) -> None:
        """Watch until cancelled: restart the server when it dies, take it over when its holder ends."""
        failures = 0
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._process.pid is not None or not self._lock.acquire():
                failures = 0
                continue
            log.warning("store_restarting", server=self._server.name)
            try:
                await self._start()
            except ServerFailed as error:
                log.error("store_failed", server=self._server.name, detail=str(error))
            await asyncio.sleep(RESTART_SECONDS[min(failures, len(RESTART_SECONDS) - 1)])
            failures += 1

    async def release(self) -> None:
        """Stop the server if this process runs it, and let the next one have it."""
        await self._process.stop()
        self._lock.release()

    async def _start(self) -> None:
        try:
            await self._process.start()
        except BaseException:
            await asyncio.shield(self._process.stop())
            if self._process.pid is None:
                self._lock.release()
            raise


def embedded_urls(data: Path) -> StoreUrls:
    """Return where the stores of a data folder are, whether they run or not."""
    return StoreUrls(EmbeddedPostgres(data).url, EmbeddedValkey(data).url)


@contextlib.asynccontextmanager
async def attached_stores(settings: StoreSettings) -> AsyncGenerator[StoreUrls]:
    """Yield the addresses of both stores, ready to use: those of the settings, else the embedded ones.

    Embedded servers are started unless another process of this data folder runs them, and are kept running while
    the context is open. Call it on the main thread. Raise SettingError or ServerFailed.
    """
    shared: list[SharedServer] = []
    database_url, redis_url = settings.database_url, settings.redis_url
    if database_url is None:
        postgres = EmbeddedPostgres(settings.data)
        database_url = postgres.url
        shared.append(SharedServer(postgres, settings.data))
    if redis_url is None:
        valkey = EmbeddedValkey(settings.data)
        redis_url = valkey.url
        shared.append(SharedServer(valkey, settings.data))
    try:
        await asyncio.gather(*(server.attach() for server in shared))
        keepers = [asyncio.create_task(server.keep(), name="keep-store") for server in shared]
        try:
            yield StoreUrls(database_url, redis_url)
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
    finally:
        await asyncio.gather(*(server.release() for server in shared))
