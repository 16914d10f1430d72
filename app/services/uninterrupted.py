"""Work that is not left half done: whoever is cancelled while it goes on waits for its end first."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LONGEST_SECONDS = 5.0
"""How long a cancellation waits at most: a commit takes milliseconds, or the database is away."""


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await the work. A cancellation meanwhile takes effect when the work has ended, whatever it came to."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=LONGEST_SECONDS)
        if not task.done():
            task.cancel()
        elif not task.cancelled():
            task.exception()  # it has been looked at: the cancellation goes before it
        raise
