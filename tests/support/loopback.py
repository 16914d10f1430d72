"""Small ASGI servers on a free loopback port: in a thread of this process, or as a process of its own."""

import contextlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

import uvicorn
from support.forks import begin

_NOT_HANDED_OUT = 15_000, 32_000
"""Below the ports that Linux and others choose from when nobody names one."""


def bind(port: int = 0) -> socket.socket:
    """A listening socket on 127.0.0.1. It names TCP: else asyncio leaves small writes to be held back for 40 ms."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(1024)
    return sock


def free_port() -> int:
    """A port that nobody listens on now, and that no outgoing connection is given before it is used."""
    while True:
        port = random.randrange(*_NOT_HANDED_OUT)
        with contextlib.suppress(OSError), bind(port):
            return port


def uvicorn_server(app: Any) -> uvicorn.Server:
    """A quiet server without lifespan and websockets."""
    config = uvicorn.Config(
        app, lifespan="off", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    return uvicorn.Server(config)


def serve_and_announce(app: Any, port: int) -> None:
    """Serve until a signal; the first line on standard output is `{"port": …}`."""
    sock = bind(port)
    print(json.dumps({"port": sock.getsockname()[1]}), flush=True)
    uvicorn_server(app).run(sockets=[sock])


@contextmanager
def in_thread(app: Any) -> Iterator[str]:
    """Serve the app in a thread; yields its base URL. Connections are taken as soon as this enters."""
    sock = bind()
    server = uvicorn_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(5)
        sock.close()


@dataclass(frozen=True)
class Loopback:
    """A server of ours, spoken to through its `/_…` doors. Blocking: meant for test code and threads."""

    url: str
    pid: int | None = None

    def get(self, path: str, *, timeout: float = 10.0) -> Any:
        """The JSON that a door answers with."""
        with urlopen(self.url + path, timeout=timeout) as answer:
            return json.load(answer)

    def post(self, path: str, *, timeout: float = 10.0) -> Any:
        """POST without a body; the JSON of the answer."""
        with urlopen(Request(self.url + path, method="POST"), timeout=timeout) as answer:
            return json.load(answer)

    def log(self) -> list[dict[str, Any]]:
        """Every request so far, oldest first."""
        return self.get("/_log")["entries"]

    def state(self) -> dict[str, Any]:
        """What is going on right now."""
        return self.get("/_state")

    def wait(self, query: str, *, timeout: float = 20.0) -> list[dict[str, Any]]:
        """The log entries that match, as soon as they do; raises when none does in time."""
        answer = self.get(f"/_wait?{query}&timeout={timeout}", timeout=timeout + 5)
        if not answer["matched"]:
            raise TimeoutError(f"nothing matched {query!r}; the server saw {answer['entries']}")
        return answer["entries"]

    def release(self, marker: str = "") -> None:
        """Let everything go on that is held for this marker (empty: everything)."""
        self.post(f"/_release?marker={marker}")

    def reset(self) -> None:
        """Forget log and counters."""
        self.post("/_reset")


@contextmanager
def process(module: str, *options: str) -> Iterator[Loopback]:
    """Run a module's `main` with `--port 0 …` in a process of its own until the end of the block."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as told:
        try:
            child = begin(module, "--port", "0", *options, output=writing)
        finally:
            os.close(writing)
        try:
            ready, _, _ = select.select([told], [], [], 20)
            line = told.readline() if ready else ""
            if not line:
                raise RuntimeError(f"{module} did not start")
            yield Loopback(f"http://127.0.0.1:{json.loads(line)['port']}", child.pid)
        finally:
            child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(5)
            child.kill()
            child.wait(5)
