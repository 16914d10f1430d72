"""The processes of a benchmark: stores, model server, floor, Sixlane's API and worker. All on loopback."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from app.database import migrations
from app.database.connection import Database
from app.integrations.embedded import EmbeddedStores
from benchmarks.dialogue import ANSWER

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.loopback import Loopback  # noqa: E402
from support.model_server import model_server_process  # noqa: E402

_NANOSECONDS = 1e9


@dataclass(frozen=True)
class Program:
    """A server of the benchmark."""

    pid: int
    port: int

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        return cpu_of(self.pid)


@dataclass(frozen=True)
class World:
    """What the measurements talk to."""

    floor: Program
    bare: Program
    api: Program
    worker: subprocess.Popen[bytes]
    model: Loopback
    database: Database
    key: str

    def postgres_cpu(self) -> float:
        """Seconds of processor time of all of PostgreSQL's processes."""
        return sum(cpu_of(pid) for pid in _descendants(os.getpid()) if _name(pid).startswith("postgres"))


def cpu_of(pid: int) -> float:
    """Processor seconds of a process, from the scheduler's nanoseconds of its threads."""
    with contextlib.suppress(OSError):
        spent = [(task / "schedstat").read_text().split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int(nanoseconds) for nanoseconds in spent) / _NANOSECONDS
    return 0.0


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text()
    return ""


def _descendants(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


@contextlib.asynccontextmanager
async def build() -> AsyncIterator[World]:
    """Start everything, migrate, make an API key; stop everything at the end."""
    async with contextlib.AsyncExitStack() as stack:
        data = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="sixlane-bench-", ignore_cleanup_errors=True))
        )
        stores = EmbeddedStores(data, durable=True)
        urls = await stores.start()
        stack.push_async_callback(stores.stop)
        await migrations.upgrade_async(urls.database_url)
        model = stack.enter_context(model_server_process("--answer", ANSWER, "--chunks", "40"))
        environment = {
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "DATABASE_URL": urls.database_url,
            "REDIS_URL": urls.redis_url,
            "SIXLANE_DATA": str(data),
            "DEFAULT_MODEL": "openai:bench",
            "SIXLANE_LOG_FORMAT": "json",
            "SIXLANE_CAP_USER_BACKGROUND": "0",
        }
        logs = data / "logs"
        logs.mkdir(exist_ok=True)
        floor = stack.enter_context(_server("benchmarks.floor:app", logs / "floor", environment))
        bare = stack.enter_context(_server("benchmarks.floor:app", logs / "bare", {**environment, "FLOOR_TOOLS": "0"}))
        api = stack.enter_context(_server("app.main:app", logs / "api", environment))
        worker = stack.enter_context(_process(["app.cli", "worker"], logs / "worker", environment))
        database = Database(urls.database_url, pool_size=4)
        stack.push_async_callback(database.close)
        key = await asyncio.to_thread(_make_key, api.port)
        yield World(floor, bare, api, worker, model, database, key)


@contextlib.contextmanager
def _process(command: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SIXLANE_", "OPENAI_"))}
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, env={**kept, **environment}, stdout=output, stderr=output
        )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(5)
            if directory := os.environ.get("BENCH_LOGS"):
                (Path(directory) / log.name).write_bytes(log.read_bytes())


@contextlib.contextmanager
def _server(app: str, log: Path, environment: Mapping[str, str]) -> Iterator[Program]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["uvicorn", app, "--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    with _process(command, log, environment) as child:
        deadline = time.monotonic() + 30
        while not _listens(port):
            if child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{app} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)
        yield Program(child.pid, port)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _make_key(port: int) -> str:
    """A key of the machine's owner."""
    body = json.dumps({"name": "bench"}).encode()
    request = Request(f"http://127.0.0.1:{port}/api-keys", body, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=10) as answer:
            return json.load(answer)["key"]
    except HTTPError as error:
        raise RuntimeError(error.read().decode()) from error
