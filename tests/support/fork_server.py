"""The server of forks: a process that has imported the product, once per session, and becomes whatever is asked of it.

`python -m support.fork_server DESCRIPTOR`: the descriptor is a listening socket. It imports when it is first asked, and
ends with its parent. Asking is one connection: four bytes of length, with them the descriptors of standard output and
error, and a JSON document; the answers are lines: the process id, and at the end how it ended. Hanging up kills.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import traceback
from typing import Any, NoReturn

PRELOADED = (
    "app.cli",
    "app.main",
    "app.workers.task_worker",
    "app.workers.scheduler",
    "app.agents.registry",
    "app.services.chat",
    "app.agents.llm",
    "pydantic_ai.models.openai",
    "pydantic_ai.providers.openai",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "support.courier_process",
    "support.model_server",
    "support.receiver",
)


class ForkServer:
    """Takes requests one after the other; a child is reaped as soon as it ends."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._children: dict[int, socket.socket] = {}
        self._wake, told = socket.socketpair()
        for sock in (self._wake, told):
            sock.setblocking(False)
        self._told = told
        signal.set_wakeup_fd(told.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Serve until killed."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._listening:
                        asker = self._listening.accept()[0]
                        if self._begin(asker):
                            selector.register(asker, selectors.EVENT_READ)
                    elif key.fileobj is self._wake:
                        self._wake.recv(4096)
                        for ended in self._reap():
                            selector.unregister(ended)
                            ended.close()
                    else:
                        self._hung_up(key.fileobj)

    def _begin(self, asker: socket.socket) -> bool:
        try:
            wanted, descriptors = receive(asker)
        except (OSError, ValueError):
            asker.close()
            return False
        preload()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for sock in (self._listening, self._wake, self._told, asker, *self._children.values()):
                sock.close()
            become(wanted, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self._children[pid] = asker
        with contextlib.suppress(OSError):
            asker.sendall(b"%d\n" % pid)
        return True

    def _reap(self) -> list[socket.socket]:
        ended: list[socket.socket] = []
        for pid in list(self._children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                asker = self._children.pop(pid)
                with contextlib.suppress(OSError):
                    asker.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
                ended.append(asker)
        return ended

    def _hung_up(self, asker: Any) -> None:
        for pid, one in self._children.items():
            if one is asker:
                os.kill(pid, signal.SIGKILL)


def receive(asker: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """One request: what is wanted, and the descriptors that came along."""
    head, descriptors, _, _ = socket.recv_fds(asker, 4, 2)
    left, body = int.from_bytes(head, "big"), b""
    while len(body) < left:
        piece = asker.recv(left - len(body))
        if not piece:
            raise ValueError("it hung up")
        body += piece
    return json.loads(body), descriptors


def preload() -> None:
    """Import what every child needs, the first time; nothing of it reads the environment."""
    if PRELOADED[-1] not in sys.modules:
        gc.disable()
        for name in PRELOADED:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()
        gc.enable()


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def become(wanted: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Be the process that was asked for, to its end: its own session, folder, environment, output and arguments."""
    code = 1
    try:
        die_with_parent()
        os.setsid()
        os.environ.clear()
        os.environ.update(wanted["environment"])
        os.chdir(wanted["folder"])
        for standard, descriptor in zip((1, 2), descriptors, strict=True):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        sys.argv = list(wanted["arguments"])
        importlib.import_module(wanted["module"]).main()
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        end_as_usual(code)


def end_as_usual(code: int) -> NoReturn:
    """End as any other process does; a forked one would do nothing of this."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(code)


def main() -> None:
    """Command line: the descriptor of the listening socket."""
    die_with_parent()
    ForkServer(socket.socket(fileno=int(sys.argv[1]))).serve()


if __name__ == "__main__":
    main()
