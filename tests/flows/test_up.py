"""`sixlane up`: one command, one tree, and nothing left when it ends."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from support.forks import sixlane
from support.programs import (
    NOBODY,
    SIXLANE,
    Running,
    answers,
    call,
    clean_environment,
    programs_on,
    readable_python,
    until,
)
from support.stores import temporary_folder

from app.integrations.server_process import is_running
from app.integrations.standing import read_standing
from app.models.errors import SettingError
from app.services.up import listening_socket

ROLES = {"up", "api", "worker", "scheduler", "postgres", "valkey"}

pytestmark = pytest.mark.xdist_group("up")  # two trees at once would only measure each other


@pytest.fixture
def home() -> Generator[Path]:
    with temporary_folder() as folder:
        yield folder


@pytest.fixture
def data(home: Path) -> Path:
    return home / "data"


def start(data: Path, *options: str, **environment: str) -> Running:
    command = [*SIXLANE, "up", "--data", str(data), "--port", "0", *options]
    return Running(command, cwd=data.parent, environment=clean_environment(**environment))


def say(data: Path, *words: str) -> str:
    return sixlane(*words, "--data", str(data), folder=data.parent, environment=clean_environment())


def pid_of(data: Path, role: str) -> int | None:
    """Its process id, if it runs."""
    rows = read_standing(data).processes
    return next((int(row["pid"]) for row in rows if row["role"] == role), None)


def ready_seconds(up: Running) -> float:
    """How long the start took, once everything has been said about it."""
    said = up.wait_for("Sixlane is ready after")
    up.wait_for("Ctrl-C")
    return float(said.split()[-2])


def test_starts_everything_says_so_and_stops_cleanly(data: Path) -> None:
    with start(data) as up:
        ready_seconds(up)
        now = json.loads(say(data, "status", "--json"))
        assert {row["role"] for row in now["processes"]} == ROLES
        assert now["data"] == str(data)
        url = now["url"]
        assert [row["port"] for row in now["processes"] if row["role"] == "api"] == [int(url.rsplit(":", 1)[1])]
        for shown in (f"API    {url}", f"Docs   {url}/docs", f"Data   {data}", "Model  demo (no model key is set"):
            assert shown in up.text
        assert answers(f"{url}/health/ready")
        assert stat.S_IMODE(data.stat().st_mode) == 0o700

        second = say(data, "up")
        assert "Already running" in second
        assert url in second
        with pytest.raises(AssertionError, match="stop it first"):
            say(data, "reset", "--yes")
        assert up.stop(signal.SIGINT) == 0
    assert programs_on(data) == []
    assert json.loads(say(data, "status", "--json")) == {"url": None, "data": str(data), "processes": []}
    say(data, "reset", "--yes")
    assert not data.exists()


def test_a_killed_program_is_started_again_and_nothing_outlives_a_killed_up(data: Path) -> None:
    with start(data) as up:
        ready_seconds(up)
        url = read_standing(data).url
        for role in ("api", "worker", "scheduler", "postgres", "valkey"):
            before = pid_of(data, role)
            assert before
            os.kill(before, signal.SIGKILL)
            until(lambda: pid_of(data, role) not in (None, before), 30, up)  # noqa: B023
        until(lambda: answers(f"{url}/health/ready"), 30, up)
        conversation = call(f"{url}/conversations", {"pattern_type": "chatbot"})
        answer = call(f"{url}/conversations/{conversation['id']}/messages", {"message": "Hello"})
        assert answer["status"] == "completed"

        pids = [int(row["pid"]) for row in read_standing(data).processes]
        up.process.kill()
        until(lambda: not any(is_running(pid) for pid in pids), 45, up)
        until(lambda: programs_on(data) == [], 10, up)
    with start(data, "--demo", OPENAI_API_KEY="sk-unused") as up:
        assert ready_seconds(up) < 15  # 2.5 s alone on two cores; other tests run beside this one
        assert "Model  demo (SIXLANE_DEMO)" in up.text
        assert up.stop(signal.SIGTERM) == 0
    assert programs_on(data) == []


def test_a_signal_during_the_start_ends_it(data: Path) -> None:
    with start(data) as up:
        until(lambda: (data / "secrets").is_dir(), 20, up)
        assert up.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
    until(lambda: programs_on(data) == [], 10)


def test_a_port_that_was_asked_for_must_be_free(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [*SIXLANE, "up", "--data", str(home / "data"), "--port", str(port)]
        done = subprocess.run(command, cwd=home, env=clean_environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 78
        assert "--port" in done.stderr
        with pytest.raises(SettingError, match="cannot be used"):
            listening_socket("127.0.0.1", port, asked=True)
        with listening_socket("127.0.0.1", port, asked=False) as moved:
            assert moved.getsockname()[1] != port


@pytest.mark.parametrize("role", ["up", "api", "worker", "scheduler"])
def test_an_unsafe_configuration_is_refused_by_name(home: Path, role: str) -> None:
    environment = clean_environment(SIXLANE_ENV="production")
    done = subprocess.run([*SIXLANE, role], cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    for setting in ("DATABASE_URL", "REDIS_URL", "SIXLANE_KEYS", "PUBLIC_URL", "DEFAULT_MODEL"):
        assert f"{setting}: " in done.stderr


def test_an_ordinary_user_starts_it(home: Path) -> None:
    if os.getuid() != 0:  # the tests above ran as one
        return
    home.chmod(0o755)
    python, needed = readable_python(home)
    own = home / "own"
    own.mkdir()
    shutil.chown(own, NOBODY, NOBODY)
    environment = clean_environment(**needed, HOME=str(own))
    command = [python, "-P", "-m", "app.cli", "up", "--port", "0"]
    with Running(command, cwd=own, environment=environment, user=NOBODY) as up:
        ready_seconds(up)
        data = Path(up.wait_for("  Data ").split(None, 1)[1])
        assert data.is_relative_to(own)
        assert data.stat().st_uid == NOBODY
        url = up.wait_for("  API ").split()[-1]
        assert answers(f"{url}/health/ready")
        assert up.stop() == 0
    assert stat.S_IMODE(own.stat().st_mode) == 0o755
    assert programs_on(own) == []
