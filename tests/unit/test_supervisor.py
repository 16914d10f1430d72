"""The process tree: lines are passed on, the dead come back, a refusal ends it, a deaf program is killed."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.programs import until

from app.integrations.server_process import is_running
from app.integrations.supervisor import Program, ProgramRefused, Supervised, Tree

SAYS = "import os, sys; print('pid', os.getpid()); sys.stdout.write('no newline')"
WAITS = "import time; print('here', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"


class Listener:
    """Keeps what programs say."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, role: str, line: str) -> None:
        self.lines.append((role, line))

    async def hears(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while sum(text in line for _, line in self.lines) < times:
                await asyncio.sleep(0.01)


def program(role: str, script: str, port: int | None = None) -> Program:
    return Program(role, [sys.executable, "-c", script], dict(os.environ), port=port)


def nothing(*_: object) -> None: ...


async def test_runs_once_and_passes_on_every_line() -> None:
    heard = Listener()
    changes: list[list[dict[str, str | int]]] = []
    tree = Tree(heard, lambda tree: changes.append(tree.processes()))
    assert await tree.run_once(program("one", SAYS, port=7)) == 0
    (first, line), last = heard.lines
    assert (first, last) == ("one", ("one", "no newline"))
    assert changes == [[{"role": "one", "pid": int(line.split()[1]), "port": 7}], []]
    assert await tree.run_once(program("two", "raise SystemExit(3)")) == 3


@pytest.mark.parametrize(
    ("script", "ending"),
    [("print('here')", "ended with status 0"), ("import os; print('here'); os.abort()", "ended by SIGABRT")],
)
async def test_what_ends_is_started_again(script: str, ending: str) -> None:
    heard = Listener()
    tree = Tree(heard, nothing)
    tree.start(program("worker", script.replace("print('here')", "print('here', flush=True)")))
    await heard.hears("here", times=2)
    await heard.hears(ending)
    await tree.stop(5)
    assert tree.processes() == []


async def test_a_refusal_ends_the_waiting() -> None:
    tree = Tree(nothing, nothing)
    tree.start(program("api", WAITS))
    tree.start(program("worker", "raise SystemExit(78)"))
    with pytest.raises(ProgramRefused, match="worker"):
        await asyncio.wait_for(tree.refused(), 20)
    await tree.stop(5)
    assert tree.processes() == []


async def test_a_deaf_program_is_killed_after_the_grace() -> None:
    heard = Listener()
    tree = Tree(heard, nothing)
    tree.start(program("worker", DEAF))
    await heard.hears("here")
    await tree.stop(0.2)
    assert ("worker", "still there after 0.2 s: killed") in heard.lines


async def test_killing_needs_no_grace() -> None:
    heard = Listener()
    tree = Tree(heard, nothing)
    tree.start(program("worker", DEAF))
    await heard.hears("here")
    tree.kill()
    await asyncio.wait_for(tree.stop(60), 10)
    assert tree.processes() == []


async def test_stopping_during_the_pause_does_not_start_again() -> None:
    heard = Listener()
    member = Supervised(program("worker", "print('here')"), heard, nothing)
    keeping = asyncio.create_task(member.keep())
    await heard.hears("starting again")
    await member.stop(5)
    await asyncio.wait_for(keeping, 10)
    assert member.pid is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_programs_end_with_their_parent(how: signal.Signals) -> None:
    script = (
        "import subprocess, sys, time, signal\n"
        "from app.integrations.launch import launcher\n"
        f"child = subprocess.Popen(launcher(signal.SIGTERM, [sys.executable, '-c', {WAITS!r}]))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout
    child = int(await parent.stdout.readline())
    assert await parent.stdout.readline() == b"here\n"
    parent.send_signal(how)
    await parent.wait()
    async with asyncio.timeout(10):
        while is_running(child):
            await asyncio.sleep(0.02)


def test_who_replaces_itself_is_running_all_the_while(tmp_path: Path) -> None:
    script = tmp_path / "again.sh"
    script.write_text('[ "$2" = 0 ] || exec /bin/sh "$1" "$1" $(($2 - 1))\nread line\n')
    with subprocess.Popen(["/bin/sh", script, script, "1000"], stdin=subprocess.PIPE) as child:
        seen = [is_running(child.pid) for _ in range(5_000)]
        assert all(seen), f"{seen.count(False)} of {len(seen)} times it passed for ended"
        child.kill()
        until(lambda: not is_running(child.pid), 10)
    assert not is_running(child.pid)
