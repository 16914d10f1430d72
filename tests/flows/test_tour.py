"""`sixlane tour`: every pattern against a running server, and nothing left of what it made."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.programs import SIXLANE, call, clean_environment, run

pytestmark = pytest.mark.xdist_group("up")


def test_shows_every_pattern_and_cleans_up(place: tuple[str, Path]) -> None:
    host, folder = place
    told: dict[str, Any] = json.loads(run(*SIXLANE, "tour", "--json", "--data", folder / "data", cwd=folder))
    assert told["ok"], told
    assert told["seconds"] < 30  # 3 s alone on two cores
    info = call(f"http://{host}/info")
    assert sorted(step["pattern"] for step in told["steps"]) == sorted(info["patterns"])
    for step in told["steps"]:
        assert any(line["label"] in ("agent", "result") for line in step["said"]), step
        assert call(step["links"]["run"])["status"] == "completed"
    assert told["removed"]
    tasks = call(f"http://{host}/tasks?limit=200")["data"]
    assert [task["title"] for task in tasks if (task["title"] or "").startswith("Tour")] == []


def test_says_how_to_start_a_server_when_none_runs(tmp_path: Path) -> None:
    for options, why in (((), "sixlane up"), (("--url", "http://127.0.0.1:9"), "cannot be reached")):
        command = [*SIXLANE, "tour", *options, "--data", str(tmp_path / "data")]
        environment = clean_environment(COLUMNS="200")
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert why in done.stderr
