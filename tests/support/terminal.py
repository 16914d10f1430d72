"""A program at a terminal of its own: what it shows is waited for, and keys are typed as a person would."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x01\x02\r]")


class Terminal:
    """Runs the command in a pseudo-terminal; use it as a context manager so that it never outlives its test."""

    def __init__(self, command: Sequence[str], *, cwd: Path, environment: Mapping[str, str]) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self._screen = ours
        self._seen = ""
        self._at = 0
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**environment, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)

    def expect(self, text: str, seconds: float = 30) -> str:
        """Wait for a text after what was expected before; returns everything up to it."""
        deadline = time.monotonic() + seconds
        while (found := self._seen.find(text, self._at)) < 0:
            assert self._read(deadline), f"{text!r} was not shown; after the last match came:\n{self._seen[self._at :]}"
        before, self._at = self._seen[self._at : found], found + len(text)
        return before

    def type(self, keys: str) -> None:
        """Press keys: text as it is, "\\n" for Enter, "\\x03" for Ctrl-C, "\\x04" for Ctrl-D."""
        os.write(self._screen, keys.encode())

    def insist(self, keys: str, text: str) -> str:
        """Press keys until a text is shown: a signal right before a program begins to read waits for the next key."""
        while True:
            self.type(keys)
            deadline = time.monotonic() + 2
            while (found := self._seen.find(text, self._at)) < 0 and self._read(deadline):
                pass
            if found >= 0:
                return self.expect(text)

    def end(self, seconds: float = 30) -> int:
        """Wait for the program's end; returns its exit code."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        return self._process.wait(max(deadline - time.monotonic(), 1))

    def _read(self, deadline: float) -> bool:
        """Take what is shown; False when the time is over or the program has gone."""
        ready = select.select([self._screen], [], [], max(deadline - time.monotonic(), 0))[0]
        if not ready:
            return False
        try:
            piece = os.read(self._screen, 65536)
        except OSError:
            return False
        self._seen += _SEQUENCE.sub("", piece.decode(errors="replace"))
        return bool(piece)
