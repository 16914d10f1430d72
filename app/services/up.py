"""Everything with one command: stores, migrations, API, worker and scheduler, as one tree."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.integrations.data_folder import private_folder
from app.integrations.embedded import StoreSettings, attached_stores
from app.integrations.standing import Process, Standing, forget_standing, up_lock, write_standing
from app.integrations.supervisor import Program, Say, Tree
from app.models.errors import SettingError

GRACE_SECONDS = 40.0
READY_SECONDS = 60.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class AlreadyUp(Exception):
    """Another `up` holds the data folder."""


class NotReady(Exception):
    """The API did not come up in time; what it said has been passed on."""


@dataclass(frozen=True)
class UpOrder:
    """What `up` shall start. `asked`: the port was named, so another one is no substitute."""

    stores: StoreSettings
    host: str
    port: int
    asked: bool
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


async def up(order: UpOrder, say: Say, ready: Callable[[Standing], None]) -> None:
    """Run the tree until SIGINT, SIGTERM or SIGHUP; call `ready` once the API answers.

    A second signal ends the programs at once. Raise AlreadyUp, SettingError, ServerFailed, ProgramRefused, NotReady.
    """
    data = private_folder(order.stores.data)
    lock = up_lock(data)
    if not lock.acquire():
        raise AlreadyUp
    stop = _Stop()
    try:
        with stop.on_signals(), contextlib.closing(listening_socket(order.host, order.port, order.asked)) as listener:
            port = listener.getsockname()[1]
            if order.port not in (0, port):
                say("up", f"port {order.port} is taken; using {port} instead")
            async with attached_stores(order.stores):
                await _run_tree(order, listener, say, ready, stop)
    except asyncio.CancelledError:
        if not stop.asked.is_set():
            raise
    finally:
        forget_standing(data)
        lock.release()


async def _run_tree(
    order: UpOrder, listener: socket.socket, say: Say, ready: Callable[[Standing], None], stop: "_Stop"
) -> None:
    port = listener.getsockname()[1]
    url = f"http://{f'[{order.host}]' if ':' in order.host else order.host}:{port}"

    def standing(tree: Tree) -> Standing:
        own: Process = {"role": "up", "pid": os.getpid()}
        return Standing(url, order.stores.data, [own, *tree.processes()])

    async def start() -> None:
        await _start_programs(tree, order, listener)
        ready(standing(tree))

    tree = stop.tree = Tree(say, lambda tree: write_standing(standing(tree)))
    starting, refused = asyncio.create_task(start()), asyncio.create_task(tree.refused())
    stopping = asyncio.create_task(stop.asked.wait())
    try:
        await asyncio.wait({starting, refused, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await asyncio.wait({refused, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if refused.done():
            refused.result()
    finally:
        for task in (starting, refused, stopping):
            task.cancel()
        listener.close()
        say("up", "stopping")
        await tree.stop(GRACE_SECONDS)


async def _start_programs(tree: Tree, order: UpOrder, listener: socket.socket) -> None:
    """Start the API beside the migrations (it loads for longer than they take), and the others once it answers."""
    every = programs(order.environment, listener)
    tree.start(every["api"])
    if status := await tree.run_once(every["migrate"]):
        raise NotReady(f"the migrations ended with status {status}; see their lines above")
    await _answers(order.host, listener.getsockname()[1])
    tree.start(every["worker"])
    tree.start(every["scheduler"])
    await tree.begun()


class _Stop:
    """What a signal does: before the tree runs it breaks the start off, then it asks for the end, then it insists."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.tree: Tree | None = None
        self._starting = asyncio.current_task()

    @contextlib.contextmanager
    def on_signals(self) -> Generator[None]:
        """Listen to the signals that mean stop while the block runs."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signalled)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _signalled(self) -> None:
        if self.tree is None and self._starting is not None:
            self._starting.cancel()
        elif self.tree is not None and self.asked.is_set():
            self.tree.kill()
        self.asked.set()


def programs(environment: Mapping[str, str], listener: socket.socket) -> dict[str, Program]:
    """Return the programs by role; the API inherits the listening socket, so that callers wait out its restarts."""
    port, descriptor = listener.getsockname()[1], listener.fileno()
    # the product's own folder first and the current one never: another project's `app` must not be taken for ours
    path = os.pathsep.join(part for part in (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")) if part)
    ours = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "SIXLANE_PORT": str(port)}
    variables = {**os.environ, **environment, **ours}
    command = [sys.executable, "-P", "-m", "app.cli"]
    every = {role: Program(role, [*command, role], variables) for role in ("migrate", "worker", "scheduler")}
    every["api"] = Program("api", [*command, "api", "--fd", str(descriptor)], variables, (descriptor,), port)
    return every


def listening_socket(host: str, port: int, asked: bool) -> socket.socket:
    """Return a socket bound to the port, or to a free one if the port is taken and was not asked for."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in (port, 0):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(2048)
        except OSError as error:
            listener.close()
            if asked or candidate == 0:
                reason = f"{host}:{port} cannot be used ({error.strerror})"
                raise SettingError(f"SIXLANE_PORT: {reason}; choose another with --port, 0 for any") from error
            continue
        return listener
    raise AssertionError("unreachable")


async def _answers(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_SECONDS
    while loop.time() < deadline:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            if await asyncio.wait_for(_status(host, port), 5) == 200:
                return
        await asyncio.sleep(0.05)
    raise NotReady("the API does not answer; see its lines above")


async def _status(host: str, port: int) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /health/ready HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readuntil(b"\r\n")
        return int(line.split()[1])
    finally:
        writer.close()
