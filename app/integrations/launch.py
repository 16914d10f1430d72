"""Become a server that ends with its parent: run as a script, it sets the parent-death signal and replaces itself.

It imports nothing of the product, so that it starts in milliseconds. Its arguments are a signal number, the parent's
process id, `uid:gid` or `-` to stay who it is, and the command.
"""

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def launcher(signal_number: int, command: Sequence[str], *, user: tuple[int, int] | None = None) -> list[str]:
    """Return the command line that runs `command` as this process's child and signals it when this process ends.

    The kernel ties the signal to the thread that starts the child: start it from the main thread. Elsewhere than on
    Linux the command runs without the tie.
    """
    who = f"{user[0]}:{user[1]}" if user else "-"
    return [sys.executable, "-I", "-S", str(Path(__file__)), str(signal_number), str(os.getpid()), who, *command]


def _become(signal_number: int, parent: int, user: str, command: list[str]) -> None:
    if user != "-":
        uid, _, gid = user.partition(":")
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:  # it ended before the signal was set
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606  (the point of this file)


if __name__ == "__main__":
    _become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
