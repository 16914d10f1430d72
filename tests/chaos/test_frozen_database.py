"""A database that neither answers nor goes away: clients are told in time, and all is well when it thaws."""

import asyncio
import os
import signal
import time
from pathlib import Path

import httpx
import pytest
from support.fleet import theatre
from support.stores import own_stores

from app.database import migrations

pytestmark = pytest.mark.xdist_group("patience")

ANSWER_SECONDS = 5.0


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


async def test_a_frozen_database_is_told_of_in_time(tmp_path: Path) -> None:
    async with own_stores() as stores:
        database_url, redis_url = stores.urls
        await migrations.upgrade_async(database_url)
        async with theatre(database_url, redis_url, tmp_path) as world, httpx.AsyncClient(timeout=30) as http:
            api = await world.fleet.start("api")
            assert (await http.get(f"{api.url}/runs")).status_code == 200
            assert stores.postgres.pid is not None
            frozen = family(stores.postgres.pid)
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            try:
                # The first finds a connection that was just used, the second is left with one that has rested.
                for pause in (0.0, 1.2):
                    await asyncio.sleep(pause)
                    began = time.monotonic()
                    answer = await http.get(f"{api.url}/runs")
                    took = time.monotonic() - began
                    print(f"\n{answer.status_code} after {took:.2f} s")
                    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
                    assert took < ANSWER_SECONDS
            finally:
                for pid in frozen:
                    os.kill(pid, signal.SIGCONT)
            async with asyncio.timeout(10):
                while (await http.get(f"{api.url}/runs")).status_code != 200:
                    await asyncio.sleep(0.1)
