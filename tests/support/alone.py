"""Tests marked `alone` run last and by themselves: no other test of the session takes the machine's time meanwhile."""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.stores import FOLDER


def is_alone(item: pytest.Item | None) -> bool:
    """Whether the test measures what others would disturb."""
    return item is not None and item.get_closest_marker("alone") is not None


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests as they are handed out: the long chains first, and those that run alone when the rest is nearly done.

    In front, they would wait until the first chains let go of the machine, and so would all others behind them.
    """
    return sorted(items, key=lambda item: (is_alone(item), item.get_closest_marker("xdist_group") is None))


class Room:
    """Shared by the tests of all workers, or taken by one of them.

    Whoever enters passes the door first and holds it until it is in: who wants the room alone waits for those inside,
    and nobody enters before it.
    """

    def __init__(self) -> None:
        folder = Path(os.environ[FOLDER])
        self._door, self._room = (os.open(folder / name, os.O_RDWR | os.O_CREAT) for name in ("door", "room"))
        self._inside = False

    def enter(self, *, alone: bool) -> None:
        """Wait until there is room, and take it; nothing happens to whoever is inside already."""
        if self._inside:
            return
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            self._inside = True
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)

    def leave(self) -> None:
        """Make room."""
        self._inside = False
        fcntl.flock(self._room, fcntl.LOCK_UN)
