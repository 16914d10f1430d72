"""The embedded stores: private, durable, one of each per data folder, and back after any crash."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from support.stores import temporary_folder

from app.integrations import unprivileged
from app.integrations.data_folder import socket_folder
from app.integrations.embedded import EmbeddedStores, StoreUrls, attached_stores, embedded_urls
from app.integrations.server_process import ServerFailed, command_line, is_running
from app.integrations.standing import remove_data, store_processes
from app.models.errors import SettingError

ROOT = Path(__file__).parents[2]
ATTACHED = """
import asyncio, sys
from pathlib import Path
from types import SimpleNamespace
from app.integrations.embedded import attached_stores

async def main():
    settings = SimpleNamespace(data=Path(sys.argv[1]), database_url=None, redis_url=None)
    async with attached_stores(settings):
        print("attached", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@dataclass(frozen=True)
class Choice:
    """Settings that name no outside store, or some."""

    data: Path
    database_url: str | None = None
    redis_url: str | None = None


@pytest.fixture
def data() -> Generator[Path]:
    # not pytest's own folder: its path is long, and sockets are to lie in the data folder
    with temporary_folder() as folder:
        yield folder / "data"


@asynccontextmanager
async def connected(urls: StoreUrls) -> AsyncGenerator[Any]:
    connection = await asyncpg.connect(urls.database_url.replace("+asyncpg", ""), timeout=5)
    try:
        yield connection
    finally:
        await connection.close()


async def answers(urls: StoreUrls) -> bool:
    redis = Redis.from_url(urls.redis_url, socket_timeout=5)
    try:
        async with connected(urls) as connection:
            return await connection.fetchval("SELECT 1") == 1 and await redis.ping()
    finally:
        await redis.aclose()


def pids(data: Path) -> dict[str, int]:
    return {str(row["role"]): int(row["pid"]) for row in store_processes(data)}


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def attach_in_process(data: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ATTACHED, str(data)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


async def attached(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    assert await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 30) == "attached\n"


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=30)


async def test_private_and_with_a_password(data: Path) -> None:
    async with attached_stores(Choice(data)) as urls, connected(urls) as connection:
        assert await connection.fetchval("SHOW listen_addresses") == ""
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SELECT datlocprovider = 'b' FROM pg_database WHERE datname = 'sixlane'")
        for folder in (data, data / "s", data / "run", data / "secrets", data / "postgres", data / "valkey"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
        for secret in (data / "secrets").iterdir():
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(host=str(data / "s"), user="sixlane", database="sixlane", password="guess")
        redis = Redis(unix_socket_path=str(data / "run" / "valkey.sock"))
        with pytest.raises(RedisError, match="Authentication required"):
            await redis.ping()
        await redis.aclose()
        redis = Redis.from_url(urls.redis_url, decode_responses=True)
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "port": "0"}
        assert wanted.items() <= (await redis.config_get(*wanted)).items()  # pyright: ignore[reportArgumentType]
        await redis.aclose()
        text = " ".join(command_line(pid) for pid in pids(data).values())
        assert not any(secret.read_text() in text for secret in (data / "secrets").iterdir())


async def test_keeps_what_it_was_given_and_stops_cleanly(data: Path) -> None:
    stores = EmbeddedStores(data)
    urls = await stores.start()
    async with connected(urls) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    redis = Redis.from_url(urls.redis_url)
    await redis.set("kept", "7")
    await redis.aclose()
    await stores.stop()
    assert pids(data) == {}
    assert "database system is shut down" in (data / "logs" / "postgres.log").read_text()
    began = time.monotonic()
    assert await stores.start() == urls == embedded_urls(data)
    assert time.monotonic() - began < 5
    async with connected(urls) as connection:
        assert await connection.fetchval("SELECT n FROM kept") == 7
    redis = Redis.from_url(urls.redis_url)
    assert await redis.get("kept") == b"7"
    await redis.aclose()
    await stores.stop()


async def test_outside_stores_are_left_alone(data: Path) -> None:
    async with attached_stores(Choice(data, "postgresql://there", "redis://there")) as urls:
        assert urls == ("postgresql://there", "redis://there")
    assert not data.exists()
    async with attached_stores(Choice(data, database_url="postgresql://there")):
        assert set(pids(data)) == {"valkey"}


async def test_the_second_process_attaches_and_takes_over(data: Path) -> None:
    first = attach_in_process(data)
    await attached(first)
    before = pids(data)
    second = attach_in_process(data)
    await attached(second)
    assert pids(data) == before
    leave(first)
    await until(lambda: len(pids(data)) == 2 and not set(pids(data).values()) & set(before.values()))
    async with attached_stores(Choice(data)) as urls:
        assert await answers(urls)
    leave(second)
    assert pids(data) == {}


async def test_many_processes_at_once_make_one_cluster(data: Path) -> None:
    processes = [attach_in_process(data) for _ in range(4)]
    for process in processes:
        await attached(process)
    async with attached_stores(Choice(data)) as urls:
        assert await answers(urls)
    for process in processes:
        leave(process)
    assert pids(data) == {}


@pytest.mark.parametrize("whom", ["owner", "owner and servers"])
async def test_kill_9_leaves_no_server_and_the_next_start_works(data: Path, whom: str) -> None:
    process = attach_in_process(data)
    await attached(process)
    urls = embedded_urls(data)
    async with connected(urls) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    servers = pids(data)
    assert len(servers) == 2
    process.kill()
    process.wait(timeout=10)  # until then it still holds its lock, and who comes attaches to its dying server
    if whom != "owner":
        for pid in servers.values():
            os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    async with attached_stores(Choice(data)), connected(urls) as connection:
        assert time.monotonic() - began < 5
        assert await connection.fetchval("SELECT n FROM kept") == 7
        assert not set(pids(data).values()) & set(servers.values())
    leave(process)


async def test_nothing_outlives_a_killed_owner(data: Path) -> None:
    process = attach_in_process(data)
    await attached(process)
    servers = pids(data)
    assert len(servers) == 2
    process.kill()
    leave(process)
    await until(lambda: not any(is_running(pid) for pid in servers.values()), seconds=5)
    assert pids(data) == {}


@pytest.mark.parametrize("role", ["postgres", "valkey"])
async def test_a_killed_server_comes_back(data: Path, role: str) -> None:
    async with attached_stores(Choice(data)) as urls:
        before = pids(data)[role]
        os.kill(before, signal.SIGKILL)
        await until(lambda: pids(data).get(role, before) != before)
        deadline = time.monotonic() + 5
        while True:
            try:
                assert await answers(urls)
                break
            except (OSError, asyncpg.PostgresError):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)


async def test_a_process_id_of_a_stranger_is_neither_believed_nor_harmed(data: Path) -> None:
    stores = EmbeddedStores(data)
    await stores.start()
    await stores.stop()
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (data / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n0\n5432\n{data}\n\n0 0\nready\n")
    (data / "valkey" / "valkey.pid").write_text(str(stranger.pid))
    (data / "run" / "valkey.sock").touch()
    async with attached_stores(Choice(data)) as urls:
        assert await answers(urls)
    assert stranger.poll() is None
    stranger.communicate(timeout=10)


async def test_an_initdb_that_was_cut_off_is_done_again(data: Path) -> None:
    (data / "postgres.new" / "base").mkdir(parents=True)
    (data / "postgres.new" / "PG_VERSION").write_text("18\n")
    async with attached_stores(Choice(data)) as urls:
        assert await answers(urls)
    assert not (data / "postgres.new").exists()


async def test_another_major_version_is_refused(data: Path) -> None:
    stores = EmbeddedStores(data)
    await stores.start()
    await stores.stop()
    (data / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(SettingError, match="PostgreSQL 17"):
        await stores.start()


async def test_a_server_that_cannot_start_shows_its_log(data: Path) -> None:
    stores = EmbeddedStores(data)
    await stores.start()
    await stores.stop()
    (data / "postgres" / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(ServerFailed, match="pg_control"):
        await stores.postgres.start()


async def test_a_long_path_gets_short_sockets(data: Path) -> None:
    long = data / ("x" * 60) / ("y" * 60)
    async with attached_stores(Choice(long)) as urls:
        assert await answers(urls)
        assert str(long) not in urls.database_url
    assert remove_data(long)
    assert not long.exists()


def test_a_socket_folder_of_someone_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir(mode=0o755)
    with pytest.raises(SettingError, match="socket folder"):
        socket_folder(folder)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(SettingError, match="socket folder"):
        socket_folder(tmp_path / "link")


async def test_modes_of_folders_above_stay_as_they_are(data: Path) -> None:
    data.parent.chmod(0o700)
    (data.parent / "deep").mkdir(mode=0o700)
    async with attached_stores(Choice(data.parent / "deep" / "data")) as urls:
        assert await answers(urls)
    for folder in (data.parent, data.parent / "deep"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_removing_leaves_the_files_of_others(data: Path) -> None:
    assert not remove_data(data)
    embedded_urls(data)
    (data / "mine.txt").write_text("keep")
    assert remove_data(data)
    assert [path.name for path in data.iterdir()] == ["mine.txt"]


class TestWithoutNamespaces:
    """Root where user namespaces are forbidden: PostgreSQL runs as nobody. An ordinary user never comes here."""

    @pytest.fixture(autouse=True)
    def forbidden(self, monkeypatch: pytest.MonkeyPatch, data: Path) -> Path:
        monkeypatch.setattr(unprivileged, "STATE_FOLDER", data.parent / "state")
        monkeypatch.setattr(unprivileged, "unshare", lambda: None)
        data.parent.chmod(0o755)
        return data.parent / "state"

    async def test_runs_as_nobody_in_a_folder_that_nobody_can_reach(self, data: Path, forbidden: Path) -> None:
        async with attached_stores(Choice(data)) as urls:
            assert await answers(urls)
            if os.getuid() == 0:
                status = Path(f"/proc/{pids(data)['postgres']}/status").read_text()
                assert "Uid:\t65534\t65534\t65534\t65534" in status
                assert (data / "postgres").stat().st_uid == 65_534
                assert list((forbidden / "binaries").iterdir())
        async with attached_stores(Choice(data)) as urls:
            assert await answers(urls)
        assert stat.S_IMODE((data / "secrets").stat().st_mode) == 0o700

    async def test_refuses_a_data_folder_below_a_closed_one(self, data: Path) -> None:
        closed = data.parent / "closed"
        closed.mkdir(mode=0o700)
        if os.getuid() == 0:
            with pytest.raises(SettingError, match=str(closed)):
                embedded_urls(closed / "data")
        else:
            assert embedded_urls(closed / "data")
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700

    async def test_the_default_folder_moves_below_the_state_folder(
        self, data: Path, forbidden: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = data.parent / "home"
        home.mkdir(mode=0o700)
        monkeypatch.setenv("XDG_DATA_HOME", str(home))
        default = home / "sixlane" / "default"
        async with attached_stores(Choice(default)) as urls:
            assert await answers(urls)
            assert (str(forbidden) in urls.database_url) == (os.getuid() == 0)
        assert remove_data(default)


def test_state_of_stores_is_plain_json(data: Path) -> None:
    assert json.loads(json.dumps(store_processes(data))) == []
