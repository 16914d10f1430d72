"""Starts an outside PostgreSQL and Redis on free loopback ports, runs the tests marked `external`, stops both."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

USER, PASSWORD = "outside", "outside-password"


def free_port() -> int:
    """A port that is free on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(what: str, ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + 30
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{what} did not start")
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Whether something listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def demote() -> None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


def postgres(binaries: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    """A fresh cluster on the port."""
    data = folder / "pg"
    data.mkdir()
    password = folder / "password"
    password.write_text(PASSWORD)
    if os.getuid() == 0:
        for path in (folder, data, password):
            os.chown(path, 65534, 65534)
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}", "-E", "UTF8"],
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=demote,
    )
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c max_connections=200"
    return subprocess.Popen(
        [binaries / "postgres", "-D", data, *options.split()], preexec_fn=demote, stderr=subprocess.DEVNULL
    )


def main(binaries: Path) -> int:
    """Run the tests between start and stop of both servers."""
    folder = Path(tempfile.mkdtemp(prefix="sixlane-outside-"))
    ports = free_port(), free_port()
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(postgres(binaries, folder, ports[0]))
        started.append(
            subprocess.Popen(
                ["redis-server", "--port", str(ports[1]), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
                stdout=subprocess.DEVNULL,
            )
        )
        wait("PostgreSQL", lambda: answers(ports[0]), started[0])
        wait("Redis", lambda: answers(ports[1]), started[1])
        environment = {
            **os.environ,
            "SIXLANE_OUTSIDE_DATABASE_URL": f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{ports[0]}/postgres",
            "SIXLANE_OUTSIDE_REDIS_URL": f"redis://127.0.0.1:{ports[1]}/0",
        }
        command = [sys.executable, "-m", "pytest", "-m", "external", "-n", "0", "-q"]
        return subprocess.run(command, env=environment, check=False).returncode
    finally:
        for process in started:
            process.send_signal(signal.SIGINT if process is started[0] else signal.SIGTERM)
        for process in started:
            process.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
