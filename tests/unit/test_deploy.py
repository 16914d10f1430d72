"""The files that put the platform on a server say what they should; engines that would run them are not needed."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis.asyncio import Redis
from support.programs import ROOT, Running, run
from support.valkey import binary

from app.config import load_settings, problems, variables

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("api", "worker", "scheduler", "migrate")
VERBS = (
    *("setup", "run_tests", "start_infra", "local_run", "launch_ngrok", "start", "stop"),
    *("up", "down", "test", "lint", "rebuild"),
)
STACK = {"STACK_KEYS", "STACK_DB_PASSWORD", "STACK_VALKEY_PASSWORD", "STACK_PORT", "STACK_DB_PORT", "STACK_VALKEY_PORT"}


KNOWN = {
    *("image", "build", "command", "environment", "env_file", "volumes", "ports", "configs", "depends_on", "deploy"),
    *("healthcheck", "restart", "init", "stop_signal", "stop_grace_period", "security_opt", "cap_drop", "logging"),
    *("shm_size",),
}
"""Keys of a service in the Compose Specification that the file uses."""
CHECK = {"test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"}


def interpolated(text: str) -> set[str]:
    """The variables that compose fills in."""
    return set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))


def test_the_stack_has_every_part_and_waits_in_the_right_order() -> None:
    assert set(SERVICES) == {"nginx", "postgres", "valkey", *OURS}
    assert SERVICES["api"]["deploy"]["replicas"] == 2
    assert [SERVICES[name]["command"] for name in OURS] == [[name] for name in OURS]
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("api", "worker", "scheduler"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert SERVICES[name]["depends_on"]["valkey"] == {"condition": "service_healthy"}
    assert SERVICES["nginx"]["depends_on"] == {"api": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_watched_restarted_and_given_time(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= KNOWN
    assert set(service["healthcheck"]) <= CHECK
    if name != "migrate":
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert service["restart"] == "unless-stopped"
    assert int(service["stop_grace_period"].removesuffix("s")) >= 40
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_only_this_machine_reaches_the_stack() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"nginx", "postgres", "valkey"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_password_stands_in_the_file_and_a_missing_one_says_how() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("STACK_KEYS", "STACK_DB_PASSWORD", "STACK_VALKEY_PASSWORD"):
        for given in re.findall(rf"\${{{name}([^}}]*)", text):
            assert given.startswith(":?is not set. Run "), name
    for line in text.splitlines():
        if "PASSWORD:" in line or "requirepass" in line:
            assert "${" in line or "sed -n" in line, line


def test_every_variable_is_a_setting_or_explained() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    head = text[: text.index("name: sixlane")]
    for name in interpolated(text):
        assert name in variables() or name in head, name
    assert interpolated(text) & STACK == STACK
    own = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}
    for service in SERVICES.values():
        assert set(service.get("environment", {})) <= set(variables()) | own


def test_the_settings_of_the_stack_are_good_for_production() -> None:
    filled = {"STACK_KEYS": "k1:" + "a" * 43, "STACK_DB_PASSWORD": "p", "STACK_VALKEY_PASSWORD": "v"}

    def fill(text: str) -> str:
        for _ in range(3):
            text = re.sub(
                r"\$\{([A-Z_]+)(?::[?-]([^{}]*))?\}", lambda m: filled.get(m[1]) or (m[2] if m[2] else ""), text
            )
        return text

    given = {name: fill(str(value)) for name, value in SERVICES["api"]["environment"].items()}
    settings = load_settings(environ={**given, "DEFAULT_MODEL": "demo"}, files=[])
    assert problems(settings) == []
    assert settings.warnings == ()
    assert settings.server.host == "0.0.0.0"
    assert settings.server.trusted_proxies == ("172.16.0.0/12",)
    assert settings.server.public_url == "http://127.0.0.1:8000"
    without = load_settings(environ={**given, "SIXLANE_KEYS": "", "DEFAULT_MODEL": "demo"}, files=[])
    assert [problem.setting for problem in problems(without)] == ["SIXLANE_KEYS"]


async def test_valkey_takes_its_configuration_and_its_health_check_finds_the_password(tmp_path: Path) -> None:
    content = COMPOSE["configs"]["valkey"]["content"]
    file = tmp_path / "valkey.conf"
    file.write_text(re.sub(r"\$\{STACK_VALKEY_PASSWORD[^}]*\}", "secret-of-the-stack", content))
    assert SERVICES["valkey"]["command"] == ["valkey-server", SERVICES["valkey"]["configs"][0]["target"]]
    find = re.search(r"sed -n '[^']*'", SERVICES["valkey"]["healthcheck"]["test"][1])
    assert find
    password = run("sh", "-c", f"{find[0]} {file}", cwd=tmp_path).strip()
    assert password == "secret-of-the-stack"
    options = ["--port", "0", "--unixsocket", str(tmp_path / "v.sock"), "--dir", str(tmp_path)]
    with Running([binary(), file, *options], cwd=tmp_path) as server:
        server.wait_for("Ready to accept connections")
        async with Redis.from_url(f"unix://:{password}@{tmp_path}/v.sock") as redis:
            assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
            assert (await redis.config_get("appendonly"))["appendonly"] == "yes"


def test_the_image_runs_as_nobody_special_and_keeps_its_grace() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    final = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    words = {line.split()[0]: line for line in final if line[:1].isupper()}
    assert words["USER"] == "USER sixlane"
    assert words["STOPSIGNAL"] == "STOPSIGNAL SIGTERM"
    assert words["ENTRYPOINT"] == 'ENTRYPOINT ["sixlane"]'
    assert "HEALTHCHECK" in words
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--from" not in line]
    ignored = (ROOT / ".dockerignore").read_text().split()
    for source in (part for parts in copied for part in parts):
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source


def make(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STACK_", "MAKE"))}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False)


pytest_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest_make
def test_every_verb_has_a_help_text_and_commands_that_exist() -> None:
    told = make().stdout
    listed = {verb for line in told.splitlines() for verb in line[:14].split()}
    assert set(VERBS) <= listed
    for verb in VERBS:
        done = make("--dry-run", verb)
        assert done.returncode == 0, (verb, done.stderr)
        lines = done.stdout.replace("\\\n", " ").splitlines()
        programs = {line.split()[0] for line in lines if re.match(r"[a-z]", line)} - {"for", "if", "command"}
        for program in programs:
            assert program in {"docker", "ngrok"} or shutil.which(program), (verb, program)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the Makefile, and programs that only tell how they were called."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("docker", "uv"):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\necho "{name} $* $DATABASE_URL $REDIS_URL"\n')
        program.chmod(0o755)
    return tmp_path


@pytest_make
def test_secrets_are_made_once_and_kept_private(desk: Path) -> None:
    assert make("secrets", cwd=desk).returncode == 0
    file = desk / ".env.docker"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first = file.read_text()
    given = dict(line.split("=", 1) for line in first.splitlines() if not line.startswith("#"))
    assert set(given) == {"STACK_KEYS", "STACK_DB_PASSWORD", "STACK_VALKEY_PASSWORD"}
    assert len(set(given.values())) == 3
    assert all(re.fullmatch(r"(k1:)?[A-Za-z0-9]{43}", value) for value in given.values())
    load_settings(environ={"SIXLANE_KEYS": given["STACK_KEYS"]}, files=[])
    make("secrets", cwd=desk)
    assert file.read_text() == first
    file.write_text("PUBLIC_URL=https://agents.example")  # a person's own file, without a last line's end
    make("secrets", cwd=desk)
    assert file.read_text().startswith("PUBLIC_URL=https://agents.example\nSTACK_KEYS=k1:")


@pytest_make
def test_local_run_takes_the_stores_of_the_stack_when_they_run(desk: Path) -> None:
    path = f"{desk / 'bin'}:{os.environ['PATH']}"
    make("secrets", cwd=desk, PATH=path)
    password = re.search(r"STACK_DB_PASSWORD=(.*)", (desk / ".env.docker").read_text())
    told = make("local_run", cwd=desk, PATH=path).stdout
    assert password
    assert f"uv run sixlane up postgresql://sixlane:{password[1]}@127.0.0.1:5432/sixlane redis://:" in told
    (desk / "bin" / "docker").write_text("#!/bin/sh\nexit 1\n")  # no engine
    assert make("local_run", cwd=desk, PATH=path).stdout.strip() == "uv run sixlane up"
