"""Stores for the whole session, a migrated database for whoever asks, and a runtime in this process."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from support.alone import Room, in_order, is_alone
from support.forks import SessionForks
from support.stores import SessionStores, session_urls

from app.config import Settings, load_settings
from app.database import migrations
from app.database.connection import Database
from app.models.identity import Principal
from app.runtime import Runtime, open_runtime
from app.services import users

TEMPLATE = "sixlane_template"
_stores: list[SessionStores] = []
_forks: list[SessionForks] = []
_room = pytest.StashKey[Room]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the stores in the session's first process, and migrate one template for all of its workers."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    stores = SessionStores()
    urls = stores.start()
    _stores.append(stores)
    forks = SessionForks(stores.folder)
    forks.start()
    _forks.append(forks)
    asyncio.run(_make_template(urls.database_url))


def pytest_unconfigure() -> None:
    """Stop the stores that this process started."""
    for started in (_forks, _stores):
        while started:
            started.pop().stop()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put at the end what runs alone, and keep the tests of an `xdist_group` on one worker.

    xdist 3.8 notes the group where pytest 9.2 no longer looks.
    """
    items[:] = in_order(items)
    for item in items if getattr(config.option, "loadgroup", False) else ():
        mark = item.get_closest_marker("xdist_group")
        group = "alone" if is_alone(item) else mark and str(mark.args[0])
        if group and not item.nodeid.endswith(f"@{group}"):
            item._id = item.id.parse(f"{item.nodeid}@{group}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Share the machine with the tests of other workers, or have it alone, as the test wants it."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    if _room not in item.config.stash:
        item.config.stash[_room] = Room()
    room = item.config.stash[_room]
    room.enter(alone=is_alone(item))
    try:
        return (yield)
    finally:
        if not (is_alone(item) and is_alone(nextitem)):
            room.leave()


def database_named(url: str, name: str) -> str:
    """The same server's database of another name."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))


def _plain(url: str) -> str:
    return url.replace("postgresql+asyncpg://", "postgresql://")


async def _make_template(url: str) -> None:
    await execute(url, f"CREATE DATABASE {TEMPLATE}")
    await migrations.upgrade_async(database_named(url, TEMPLATE))


async def execute(url: str, *statements: str) -> None:
    """Run statements outside any transaction."""
    connection = await asyncpg.connect(_plain(url))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The session's Valkey."""
    return session_urls().redis_url


@pytest.fixture(scope="session")
async def database_server() -> AsyncIterator[asyncpg.Connection]:
    """A connection to the session's PostgreSQL that makes databases: opening one for each would take as long again."""
    connection = await asyncpg.connect(_plain(session_urls().database_url))
    yield connection
    await connection.close()


@pytest.fixture
async def database_url(database_server: asyncpg.Connection) -> AsyncIterator[str]:
    """An empty, migrated database of its own on the session's PostgreSQL."""
    name = f"test_{uuid4().hex}"
    await database_server.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
    try:
        yield database_named(session_urls().database_url, name)
    finally:
        await database_server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    """The ledger on an empty database."""
    database = Database(database_url, pool_size=10)
    yield database
    await database.close()


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Local settings on the test's own database, with the demo model and nothing from the environment."""
    return test_settings(database_url, redis_url, tmp_path)


def test_settings(database_url: str, redis_url: str, data: Path, **overrides: str) -> Settings:
    """Settings for a test; overrides are variables by name."""
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SIXLANE_DATA": str(data),
        "SIXLANE_DEMO": "1",
        "SIXLANE_LEASE_SECONDS": "3",
        "SIXLANE_SHUTDOWN_SECONDS": "2",
        **overrides,
    }
    return load_settings(environ=environment, files=[])


test_settings.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture
async def runtime(settings: Settings) -> AsyncGenerator[Runtime]:
    """A runtime in this process that claims background runs too, so that one process does everything."""
    async with open_runtime(settings, "worker") as opened:
        yield opened


@pytest.fixture
async def owner(runtime: Runtime) -> Principal:
    """The keyless owner of local mode."""
    return await users.local_owner(runtime.database)
