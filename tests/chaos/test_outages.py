"""The stores go away under load: nothing is lost, nobody exits, clients are told to come back."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis
from support.audit import Audit
from support.fleet import Fleet, Role, Theatre, theatre
from support.load import QUICK_SHAPES, Load, deciding
from support.patient import PatientClient
from support.stores import own_stores
from support.verdict import no_effect_twice, no_step_twice, nothing_lost, streams_whole

from app.database import migrations
from app.integrations.embedded import EmbeddedStores

pytestmark = pytest.mark.xdist_group("chaos")

FLEET: tuple[Role, ...] = ("api", "api", "worker", "worker", "scheduler")
CLIENTS = 10
AWAY_SECONDS = 1.5
DELAY_SECONDS = 10.0
ANSWER_SECONDS = 5.0
PAUSE_SECONDS = 1.5

Accident = Callable[[], Awaitable[None]]


@dataclass
class Scene:
    """A fleet under load on stores of its own."""

    stores: EmbeddedStores
    world: Theatre
    audit: Audit
    client: PatientClient
    load: Load

    async def suffer(self, *accidents: Accident) -> None:
        """Let the accidents happen under load, one after the other, and see every order to its end."""
        pids = sorted(member.pid for member in self.world.fleet.members)
        async with deciding(self.client, self.world.receiver), asyncio.TaskGroup() as group:
            over = group.create_task(one_by_one(accidents))
            group.create_task(self.load.run(CLIENTS, over.done))
        assert self.world.fleet.gone() == []
        assert sorted(member.pid for member in self.world.fleet.members) == pids
        print(f"\nruns: {len(self.load.orders)}, accidents: {len(accidents)}")
        await nothing_lost(self.audit, self.load.orders)
        await no_step_twice(self.world, self.audit)
        await no_effect_twice(self.world, self.audit, self.load.orders)


async def one_by_one(accidents: tuple[Accident, ...]) -> None:
    """Accidents with a quiet time before and after each."""
    await asyncio.sleep(PAUSE_SECONDS)
    for accident in accidents:
        await accident()
        await asyncio.sleep(PAUSE_SECONDS)


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncGenerator[Scene]:
    """A running fleet on stores that keep what was committed, whatever ends them."""
    async with own_stores(durable=True) as stores:
        database_url, redis_url = stores.urls
        await migrations.upgrade_async(database_url)
        audit = Audit(database_url)
        await audit.install()
        async with theatre(database_url, redis_url, folder) as world:
            await asyncio.gather(*(world.fleet.start(role) for role in FLEET))
            client = PatientClient(world.fleet)
            async with contextlib.aclosing(client):
                yield Scene(stores, world, audit, client, Load(client, world.receiver, random.Random(1), QUICK_SHAPES))


async def test_valkey_forgets_and_restarts(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:

        async def forget() -> None:
            async with Redis.from_url(here.stores.urls.redis_url) as admin:
                await admin.flushall()

        async def restart() -> None:
            await killed(here.stores.valkey.pid, signal.SIGKILL)
            await asyncio.sleep(AWAY_SECONDS)
            await here.stores.valkey.start()

        await here.suffer(forget, restart, forget, restart)
        await streams_whole(here.audit, here.load.orders, jumps=True)
        slowest = max(order.seconds for order in here.load.orders)
        waited = await here.audit.rows("SELECT max(extract(epoch FROM started_at - created_at))::float8 AS s FROM runs")
        print(f"slowest order: {slowest:.2f} s, longest wait for a claim: {waited[0]['s']:.2f} s")
        assert slowest <= DELAY_SECONDS + 2.5, "an order takes 2.5 s at most when nothing happens"


async def test_postgresql_restarts(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:

        def crash(number: signal.Signals) -> Accident:
            async def accident() -> None:
                await killed(here.stores.postgres.pid, number)
                await asyncio.gather(*(refused(here.world.fleet) for _ in range(3)), asyncio.sleep(AWAY_SECONDS))
                await here.stores.postgres.start()

            return accident

        await here.suffer(crash(signal.SIGQUIT), crash(signal.SIGKILL))
        await streams_whole(here.audit, here.load.orders)
        told = here.client.unavailable
        slowest = max(seconds for seconds, _ in told)
        print(f"503: {len(told)}, the slowest after {slowest:.2f} s; ", end="")
        print(f"slowest order: {max(order.seconds for order in here.load.orders):.2f} s")
        assert slowest <= ANSWER_SECONDS
        assert all(after is not None and int(after) >= 1 for _, after in told)


async def killed(pid: int | None, number: signal.Signals) -> None:
    """Signal a server and wait until it is gone."""
    assert pid is not None
    os.kill(pid, number)
    async with asyncio.timeout(10):
        while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
            await asyncio.sleep(0.01)


async def refused(fleet: Fleet) -> None:
    """Without its database an API answers 503 in time, says when to come back, and is alive all the same."""
    async with httpx.AsyncClient(timeout=30) as http:
        for api in fleet.of("api"):
            for path in ("/health/ready", "/runs"):
                began = time.monotonic()
                answer = await http.get(api.url + path)
                assert answer.status_code == 503, answer.text
                assert time.monotonic() - began <= ANSWER_SECONDS
                assert int(answer.headers["retry-after"]) >= 1
            assert (await http.get(f"{api.url}/health/live")).status_code == 200
