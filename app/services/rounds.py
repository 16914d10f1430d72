"""What a process does in rounds for as long as it lives: at every bell, every second, and through what goes wrong."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import ClassVar

import structlog

from app.models.errors import Unavailable

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
"""How long a lost bell is waited for."""
AWAY_SECONDS = 0.2
"""The pause after a round for which the database was away."""
FAILED_SECONDS = 1.0
"""The pause after a round that failed for another reason."""


class Rounds(ABC):
    """Looks after something: one round after the other, until closed or cancelled; nothing else ends it."""

    subject: ClassVar[str]
    """What its lines in the log begin with."""

    def __init__(self) -> None:
        self._bell = asyncio.Event()
        self._open = True

    def ring(self) -> None:
        """There may be something to do, or room for it. A bell during a round makes for another round."""
        self._bell.set()

    def close(self) -> None:
        """Begin nothing any more; what has begun goes on."""
        self._open = False
        self._bell.set()

    async def run(self) -> None:
        """Look at every bell and every second, until closed. A database that is away is waited for."""
        while self._open:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._bell.wait()
            self._bell.clear()
            try:
                await self.look()
            except Unavailable as error:
                log.warning(f"{self.subject}.database_away", reason=error.detail)
                await asyncio.sleep(AWAY_SECONDS)
            except Exception:
                log.exception(f"{self.subject}.failed")
                await asyncio.sleep(FAILED_SECONDS)

    @abstractmethod
    async def look(self) -> object:
        """Make one round. Raises Unavailable."""
