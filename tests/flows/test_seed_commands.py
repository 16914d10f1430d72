"""The commands that people know from the seeds, typed as they are, with nothing configured."""

import shutil
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from support.forks import sixlane
from support.loopback import free_port
from support.programs import ROOT, SIXLANE, Running, answers, call, clean_environment, programs_on, run, until
from support.stores import temporary_folder

BIN = Path(sys.executable).parent

pytestmark = pytest.mark.xdist_group("up")


@pytest.fixture
def home() -> Generator[Path]:
    """A folder with what the commands expect of the clone: its migrations, and the sample file copied to .env."""
    with temporary_folder() as folder:
        shutil.copytree(ROOT / "alembic", folder / "alembic", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "alembic.ini", folder / "alembic.ini")
        (folder / "app").symlink_to(ROOT / "app")
        shutil.copy(ROOT / ".env.example", folder / ".env")
        yield folder


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    return clean_environment(SIXLANE_DATA=str(home / "data"))


def test_migrations(home: Path, environment: dict[str, str]) -> None:
    run(BIN / "alembic", "upgrade", "head", cwd=home, environment=environment)
    before = set((home / "alembic" / "versions").glob("*.py"))
    run(BIN / "alembic", "revision", "--autogenerate", "-m", "x", cwd=home, environment=environment)
    (made,) = set((home / "alembic" / "versions").glob("*.py")) - before
    assert "op." not in made.read_text(), "the models and the migrations differ"
    made.unlink()
    run(BIN / "alembic", "downgrade", "base", cwd=home, environment=environment)
    run(BIN / "alembic", "upgrade", "head", cwd=home, environment=environment)
    assert programs_on(home / "data") == []


def test_server_worker_and_scheduler_each_alone(home: Path, environment: dict[str, str]) -> None:
    run(BIN / "alembic", "upgrade", "head", cwd=home, environment=environment)
    url = f"http://127.0.0.1:{(port := free_port())}"
    serve = [BIN / "uvicorn", "app.main:app", "--reload", "--port", str(port)]
    with (
        Running(serve, cwd=home, environment=environment) as api,
        Running([BIN / "arq", "app.workers.task_worker.WorkerSettings"], cwd=home, environment=environment) as worker,
        Running([sys.executable, "-m", "app.workers.scheduler"], cwd=home, environment=environment) as scheduler,
    ):
        until(lambda: answers(f"{url}/health/ready"), 60, api)
        worker.wait_for("worker.ready")
        scheduler.wait_for("scheduler.ready")
        conversation = call(f"{url}/conversations", {"pattern_type": "chatbot", "context_data": {}})
        answer = call(f"{url}/conversations/{conversation['id']}/messages", {"message": "Hello", "stream": False})
        assert answer["message"]["role"] == "assistant"
        task = call(f"{url}/tasks", {"task_type": "delegation", "prompt": "Hello"})
        until(lambda: call(f"{url}/tasks/{task['id']}")["status"] in ("completed", "failed"), 30, worker)
        assert call(f"{url}/tasks/{task['id']}")["status"] == "completed"
        for program in (worker, scheduler, api):
            program.stop(signal.SIGINT)
    until(lambda: programs_on(home / "data") == [], 15)


def test_init_is_idempotent_and_its_key_opens_the_api(home: Path) -> None:
    environment = clean_environment(SIXLANE_DATA=str(home / "data"))

    def say(*words: str) -> str:
        return sixlane(*words, folder=home, environment=environment)

    first = run(*SIXLANE, "init", cwd=home, environment=environment)
    assert "API key" in first
    assert "sl_" in first
    written = (home / ".env").read_text()
    assert written.count("\nSIXLANE_KEYS=local:") == 1
    second = say("init")
    assert "sl_" not in second
    assert (home / ".env").read_text() == written
    made = say("keys", "create", "--name", "ci").strip()
    assert made.startswith("sl_")
    listed = say("keys", "list")
    assert made not in listed
    key_id = next(line.split()[0] for line in listed.splitlines() if " ci " in line)
    assert "Revoked" in say("keys", "revoke", key_id)
    found = say("doctor", "--json")
    assert '"ok": false' not in found
    assert programs_on(home / "data") == []
