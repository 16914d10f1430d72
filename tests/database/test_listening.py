"""Listening to the ledger: one yield at connect, one for many words at once, and back again after a cut."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from support.clock import Bench

from app.database.connection import Database
from app.database.listening import notifications
from app.database.stores.occurrences import CHANNEL


async def heard(words: AsyncGenerator[None]) -> bool:
    """Whether there is a next word in time."""
    next_word = asyncio.ensure_future(anext(words))
    done, _ = await asyncio.wait({next_word}, timeout=10)
    if not done:
        next_word.cancel()
        await asyncio.wait({next_word})
    return bool(done)


async def test_edits_are_heard_after_their_commit_and_after_a_cut(database: Database, database_url: str) -> None:
    bench = await Bench.of(database)
    async with aclosing(notifications(database_url, CHANNEL)) as words:
        assert await heard(words)
        async with database.begin(bench.workspace_id) as unit:
            await unit.occurrences.announce()
            await unit.occurrences.announce()
        assert await heard(words)
        async with database.across() as across:
            await across.connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ILIKE 'LISTEN%'"
            )
        assert await heard(words)
        async with database.begin(bench.workspace_id) as unit:
            await unit.occurrences.announce()
        assert await heard(words)


async def test_a_ledger_that_is_away_is_asked_again(database_url: str) -> None:
    words = notifications("postgresql+asyncpg://nobody@127.0.0.1:9/nothing", CHANNEL)
    waiting = asyncio.ensure_future(anext(words))
    done, _ = await asyncio.wait({waiting}, timeout=0.6)
    assert not done
    waiting.cancel()
    await asyncio.wait({waiting})
    await words.aclose()
