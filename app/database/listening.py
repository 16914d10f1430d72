"""Listening to the ledger: a connection of its own that hears NOTIFY, and comes back after every outage."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.database.connection import CONNECT_SECONDS, is_outage

log = structlog.get_logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
SILENCE_SECONDS = 20.0
"""After so long without a word the connection is asked for a sign of life: a cut line tells nobody."""


async def notifications(url: str, channel: str) -> AsyncGenerator[None]:
    """Yield after notifications on the channel; several that come at once are one.

    Also yields at every connect, since nobody knows what was said before it. Ends only when it is closed.
    """
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": CONNECT_SECONDS})
    pause = FIRST_PAUSE
    try:
        while True:
            line = _Line(engine, channel)
            try:
                await line.open()
                pause = FIRST_PAUSE
                while True:
                    yield
                    await line.heard()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("listening.interrupted", channel=channel, reason=str(error))
            finally:
                line.close()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
    finally:
        await engine.dispose()


class _Line:
    """One connection that listens."""

    def __init__(self, engine: AsyncEngine, channel: str) -> None:
        self._engine = engine
        self._channel = channel
        self._rung = asyncio.Event()
        self._driver: Any = None

    async def open(self) -> None:
        """Connect and listen."""
        raw = await self._engine.raw_connection()
        self._driver = raw.driver_connection
        raw.detach()
        self._driver.add_termination_listener(self._ring)
        await self._driver.add_listener(self._channel, self._ring)

    def _ring(self, *_: object) -> None:
        self._rung.set()

    async def heard(self) -> None:
        """Wait for a word. Raises ConnectionError when the line is cut, and what the driver says of it."""
        while not self._rung.is_set():
            try:
                await asyncio.wait_for(self._rung.wait(), SILENCE_SECONDS)
            except TimeoutError:
                await self._driver.execute("SELECT 1", timeout=CONNECT_SECONDS)
        self._rung.clear()
        if self._driver.is_closed():
            raise ConnectionError("the connection was closed")

    def close(self) -> None:
        """Hang up."""
        if self._driver is not None and not self._driver.is_closed():
            self._driver.terminate()
