"""The server as it is deployed: a real nginx in front of processes in production mode, and the image's own steps."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import database_named, execute
from support.fleet import Theatre, theatre
from support.loopback import free_port
from support.model_server import script
from support.programs import ROOT, SIXLANE, Running, answers, clean_environment, run, until
from support.stores import session_urls

pytestmark = pytest.mark.external

KEYS = "k1:" + "A" * 43 + "="


def nginx_files(folder: Path, port: int, upstreams: list[int]) -> Path:
    """The stack's own nginx.conf on a loopback port, with the processes of this test as its upstreams."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (ROOT / "nginx" / "nginx.conf").read_text()
    for old, new in (
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("/tmp/nginx.pid", str(folder / "nginx.pid")),
        ("/dev/stdout", str(folder / "access.log")),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)
    servers = "".join(f"server 127.0.0.1:{one} max_fails=2 fail_timeout=2s; " for one in upstreams)
    text = (ROOT / "nginx" / "upstream.conf").read_text()
    text = re.sub(r"server api:8000 resolve .*", servers, re.sub(r"resolver .*", "", text))
    (folder / "upstream.conf").write_text(text)
    return folder


def nginx(folder: Path, *arguments: str) -> list[str]:
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf"), *arguments]


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    command = nginx(nginx_files(tmp_path, free_port(), [8001, 8002]), "-t")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Site:
    """A production deployment on loopback."""

    world: Theatre
    url: str
    folder: Path
    http: httpx.AsyncClient

    def log(self) -> list[dict[str, Any]]:
        """The access log."""
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]


@asynccontextmanager
async def site(database_url: str, redis_url: str, folder: Path, **environment: str) -> AsyncIterator[Site]:
    """Two API processes, a worker and a scheduler in production mode, nginx in front, and a client with a key."""
    port = free_port()
    variables = {
        "SIXLANE_ENV": "production",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "SIXLANE_KEYS": KEYS,
        "SIXLANE_TRUSTED_PROXIES": "127.0.0.1/32",
        **environment,
    }
    async with theatre(database_url, redis_url, folder, **variables) as world:
        await asyncio.gather(*(world.fleet.start(role) for role in ("api", "api", "worker", "scheduler")))
        ports = [member.port or 0 for member in world.fleet.of("api")]
        key = await asyncio.to_thread(first_key, database_url, redis_url, folder, variables)
        place = nginx_files(folder / "nginx", port, ports)
        with Running([*nginx(place), "-g", "daemon off;"], cwd=place) as server:
            url = f"http://127.0.0.1:{port}"
            await asyncio.to_thread(until, lambda: answers(f"{url}/health/live"), 10, server)
            headers = {"Authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as http:
                yield Site(world, url, place, http)


def first_key(database_url: str, redis_url: str, folder: Path, variables: dict[str, str]) -> str:
    """What `sixlane init` prints."""
    given = {**variables, "DATABASE_URL": database_url, "REDIS_URL": redis_url, "SIXLANE_DATA": str(folder / "data")}
    told = run(*SIXLANE, "init", cwd=folder, environment=clean_environment(**given, DEFAULT_MODEL="demo"))
    return told.strip().rpartition(" ")[2]


async def test_a_streamed_chat_through_nginx_arrives_event_by_event(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with site(database_url, redis_url, tmp_path) as here:
        spoken = "one two three four five six seven"
        said = script({"text": spoken, "chunks": 7, "hold_s": 20, "hold_after": 3}, mark="nginx")
        made = (await here.http.post("/conversations", json={})).json()
        request = here.http.build_request(
            "POST", f"/conversations/{made['id']}/messages", json={"message": said, "stream": True}
        )
        events: list[dict[str, Any]] = []
        answer = await here.http.send(request, stream=True)
        assert answer.headers["content-type"].startswith("text/event-stream")
        async with aclosing(answer):
            lines = answer.aiter_lines()
            while "three" not in text_of(events):
                async with asyncio.timeout(10):  # the model is silent now: nothing later pushes these out
                    line = await anext(lines)
                if line.startswith("data: "):
                    events.append(json.loads(line.removeprefix("data: ")))
            assert "four" not in text_of(events)
            await asyncio.to_thread(here.world.model.release, "nginx")
            events += [json.loads(line.removeprefix("data: ")) async for line in lines if line.startswith("data: ")]
        assert text_of(events) == spoken
        assert events[-1]["type"] == "run.completed"
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert here.world.fleet.gone() == []


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["text"] for event in events if event["type"] == "message.delta")


async def test_a_task_runs_ids_are_passed_on_and_both_processes_serve(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with site(database_url, redis_url, tmp_path) as here:
        task = await here.http.post(
            "/tasks",
            json={"task_type": "delegation", "prompt": script({"text": "done"})},
            headers={"X-Request-ID": "find-me"},
        )
        assert (task.status_code, task.headers["x-request-id"]) == (201, "find-me")
        assert task.headers["ratelimit-limit"]
        deadline = time.monotonic() + 20
        while (await here.http.get(f"/tasks/{task.json()['id']}")).json()["status"] != "completed":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        for _ in range(20):
            assert (await here.http.get("/conversations")).status_code == 200
        seen = here.log()
        assert "find-me" in {one["request_id"] for one in seen}
        assert len({one["upstream"] for one in seen}) == 2
        assert (await httpx.AsyncClient(base_url=here.url).get("/conversations")).status_code == 401


async def test_one_process_may_go_and_when_all_are_gone_that_is_told(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with site(database_url, redis_url, tmp_path) as here:
        first, second = here.world.fleet.of("api")
        here.world.fleet.kill(first)
        assert [(await here.http.get("/conversations")).status_code for _ in range(10)] == [200] * 10
        large = await here.http.post("/conversations", content=b"x" * 1_200_000)
        assert (large.status_code, large.json()["code"]) == (413, "payload_too_large"), "the API's own limit"
        huge = await here.http.post("/conversations", content=b"x" * 3_000_000, headers={"X-Request-ID": "huge"})
        assert (huge.status_code, huge.json()["code"], huge.json()["request_id"]) == (413, "payload_too_large", "huge")
        here.world.fleet.kill(second)
        gone = await here.http.get("/conversations", headers={"X-Request-ID": "gone"})
        assert (gone.status_code, gone.headers["content-type"]) == (503, "application/problem+json")
        assert (gone.json()["code"], gone.json()["request_id"]) == ("unavailable", "gone")
        assert gone.headers["retry-after"] == "2"


async def test_each_sender_behind_nginx_has_its_own_limit(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with site(database_url, redis_url, tmp_path, SIXLANE_RATE_PER_ADDRESS="5/hour") as here:

        async def ask(sender: str) -> int:
            async with httpx.AsyncClient(base_url=here.url, headers={"X-Forwarded-For": sender}) as client:
                return (await client.get("/conversations")).status_code

        assert [await ask("203.0.113.9") for _ in range(7)] == [401] * 5 + [429] * 2
        assert await ask("203.0.113.10") == 401
        assert (await here.http.get("/conversations")).status_code == 200


def steps(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions of the first stage of a Dockerfile."""
    _, stage, *_ = dockerfile.replace("\\\n", " ").split("\nFROM ")
    found = (line.partition(" ") for line in stage.splitlines()[1:] if line[:1].isupper())
    return [(word, rest.strip()) for word, _, rest in found]


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not installed")
async def test_the_image_can_be_built_from_what_it_copies(redis_url: str, tmp_path: Path) -> None:
    """Runs the build stage's steps in an empty folder, then the program that comes of it, on an empty database."""
    build, environment = tmp_path / "build", tmp_path / "sixlane"
    build.mkdir()
    variables = dict(os.environ) | {"VIRTUAL_ENV": "", "UV_PYTHON": sys.executable}
    for word, rest in steps((ROOT / "Dockerfile").read_text()):
        if word == "ENV":
            given = dict(part.split("=", 1) for part in shlex.split(rest))
            variables |= {name: value.replace("/opt/sixlane", str(environment)) for name, value in given.items()}
        elif word == "COPY":
            *sources, target = shlex.split(rest)
            for source in sources:
                place = build / target
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, place)
        elif word == "RUN" and "pip install" not in rest:
            await asyncio.to_thread(run, "sh", "-c", rest, cwd=build, environment=variables, seconds=300)
    shutil.rmtree(build)  # the final stage gets the environment alone
    await check_program(environment / "bin" / "sixlane", redis_url, tmp_path)


async def check_program(program: Path, redis_url: str, folder: Path) -> None:
    """The program without a clone around it: it migrates an empty database, makes a key and serves."""
    server, name = session_urls().database_url, f"image_{free_port()}"
    await execute(server, f"CREATE DATABASE {name}")
    port = free_port()
    given = {
        "SIXLANE_ENV": "production",
        "DATABASE_URL": database_named(server, name),
        "REDIS_URL": redis_url,
        "SIXLANE_KEYS": KEYS,
        "SIXLANE_DATA": str(folder / "data"),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "DEFAULT_MODEL": "demo",
        "SIXLANE_PORT": str(port),
    }
    variables = {key: value for key, value in clean_environment(**given).items() if key != "PYTHONPATH"}
    try:
        assert "revision" in await asyncio.to_thread(run, program, "migrate", cwd=folder, environment=variables)
        assert "sl_" in await asyncio.to_thread(run, program, "init", cwd=folder, environment=variables)
        with Running([program, "api"], cwd=folder, environment=variables) as api:
            await asyncio.to_thread(until, lambda: answers(f"http://127.0.0.1:{port}/health/ready"), 30, api)
            with Running([program, "worker"], cwd=folder, environment=variables) as worker:
                alive = [program, "alive", "worker"]
                await asyncio.to_thread(until, lambda: succeeds(alive, folder, variables), 30, worker)
            assert not await asyncio.to_thread(succeeds, alive, folder, variables), "it has left"
    finally:
        await execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def succeeds(command: list[Any], folder: Path, variables: dict[str, str]) -> bool:
    """Whether a command ends well."""
    try:
        run(*command, cwd=folder, environment=variables)
    except AssertionError:
        return False
    return True
