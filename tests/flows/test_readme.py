"""The README is executed as it stands: its console transcripts and its Python examples, against `sixlane up`."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.programs import ROOT, SIXLANE, clean_environment

pytestmark = pytest.mark.xdist_group("up")

README = (ROOT / "README.md").read_text()
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
PYTHON = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "localhost:8000" in block]
"""What talks to the server; the agent of one's own is tried by `test_own_agents.py`."""


def steps(block: str) -> list[tuple[str, str]]:
    """Commands of a transcript, each with the output that it shows."""
    found: list[tuple[str, str]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        else:
            command, shown = found[-1]
            found[-1] = (command, f"{shown}{line}\n")
    return found


def pattern(shown: str) -> str:
    """A regular expression for an output in which `…` stands for anything."""
    return r".*?".join(re.escape(part) for part in shown.strip().split("…"))


def test_the_transcripts_are_true(place: tuple[str, Path]) -> None:
    host, folder = place
    transcript = [step for block in CONSOLE for step in steps(block)]
    assert len(transcript) >= 7
    mark = "=====8<====="
    sixlane = shlex.join(SIXLANE)
    commands = [one.replace("localhost:8000", host).replace("uv run sixlane", sixlane) for one, _ in transcript]
    done = subprocess.run(
        ["bash", "-c", "\n".join(f"{one}\necho; echo '{mark}'" for one in commands)],
        cwd=folder,
        env=clean_environment(SIXLANE_DATA=str(folder / "data"), COLUMNS="100"),
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    outputs = done.stdout.split(mark)[:-1]
    assert len(outputs) == len(transcript)
    for (command, shown), output in zip(transcript, outputs, strict=True):
        assert re.fullmatch(pattern(shown), output.strip(), re.DOTALL), f"$ {command}\n{output}"


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_the_examples_run(place: tuple[str, Path], number: int) -> None:
    host, folder = place
    code = PYTHON[number].replace("localhost:8000", host)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert re.search(r"'id'|task created: [0-9a-f-]{36}|/tasks/webhooks/[0-9a-f-]{36}", done.stdout)
    assert not done.stderr
