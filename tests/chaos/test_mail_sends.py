"""Kill -9 while mails are being sent: none is lost, none is there twice, and what nobody knows is asked."""

import asyncio
import contextlib
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import test_settings
from support.audit import Audit
from support.fleet import Fleet, Member, theatre
from support.patient import PatientClient
from support.post import Post, link, post_office

from app.config import parse_ring
from app.integrations.vault import Vault

pytestmark = pytest.mark.xdist_group("chaos")

SCALE = int(os.environ.get("SIXLANE_CHAOS_SCALE") or 1)
"""Five makes it the promise in full: 50 kills."""
KILLS = 10 * SCALE
CLIENTS = 20
KEYS = "chaos:0123456789abcdef0123456789abcdef"
BOB = "bob@example.com"


@dataclass
class Order:
    """One run: its mark, whose it is, and the subjects of its mails."""

    mark: str
    subjects: list[str]
    run: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def prompt(self) -> str:
        """What the model is told to do: the mails, two in one response where there are three, and an end."""
        mails = [
            {"name": "mail_send", "args": {"to": [BOB], "subject": subject, "body": f"This is {subject}."}}
            for subject in self.subjects
        ]
        steps = [{"tools": mails[:1]}, *([{"tools": mails[1:]}] if mails[1:] else []), {"text": "Sent."}]
        return f"SCRIPT: {json.dumps(steps)}\nMARK: {self.mark}"


@dataclass
class Blow:
    """One kill: whom it hit, and what that process had asked Gmail for."""

    owner: str
    what: str
    done: bool


async def test_mails_leave_once_whoever_dies(database_url: str, redis_url: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("SIXLANE_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"\nSIXLANE_CHAOS_SEED={seed}")
    rng = random.Random(seed)
    with post_office() as post:
        post.gmail.lag = 0.5
        post.gmail.pace = lambda what: _pace(what, rng)
        variables = {**post.google.variables(), "SIXLANE_KEYS": KEYS}
        async with theatre(database_url, redis_url, tmp_path, **variables) as world:
            audit, client = Audit(database_url), PatientClient(world.fleet)
            settings = test_settings(database_url, redis_url, tmp_path, SIXLANE_KEYS=KEYS)
            people = People(world.fleet, post, Vault(parse_ring(settings.secrets)))
            roles = ("api", "worker", "worker", "worker", "scheduler")
            await asyncio.gather(*(world.fleet.start(role) for role in roles))
            orders: list[Order] = []
            blows: list[Blow] = []
            async with contextlib.aclosing(client), deciding(client, post) as asked, asyncio.TaskGroup() as group:
                striking = group.create_task(strike(world.fleet, post, audit, blows, rng))
                for _ in range(CLIENTS):
                    group.create_task(work(client, people, orders, striking))
            assert not world.fleet.gone()
            await check(post, audit, orders, blows, asked)


def _pace(what: str, rng: random.Random) -> tuple[float, float]:
    """How long Gmail takes, before and after the effect; now and then it does something long after the asker died."""
    if "drafts" not in what:
        return 0.01, 0.01
    slow = what.endswith("drafts/send") and rng.random() < 0.05
    return (4.5 if slow else rng.uniform(0.02, 0.15)), rng.uniform(0.02, 0.15)


@dataclass
class People:
    """Those who work here. They come in one after the other, since the tests have fewer connections than people."""

    fleet: Fleet
    post: Post
    vault: Vault
    door: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def come_in(self, mark: str) -> None:
        """Make a user of that name with a linked account."""
        database = self.fleet.database
        async with self.door:
            async with database.across() as across:
                workspace = await across.directory.workspace("default")
            async with database.begin(workspace.id) as unit:
                user = await unit.users.see(mark)
            await link(self.post, database, self.vault, workspace.id, user.id, f"{mark}@example.com")


async def work(client: PatientClient, people: People, orders: list[Order], striking: "asyncio.Task[None]") -> None:
    """Place orders, each for a person of its own, and see them to their end, until the last blow has fallen."""
    while not striking.done():
        mark = f"r{len(orders)}"
        order = Order(mark, [f"{mark}.{number}" for number in range(1 + len(orders) % 3)])
        orders.append(order)
        await people.come_in(mark)
        body = {
            "task_type": "delegation",
            "prompt": order.prompt,
            "user_id": mark,
            "grants": {"send_to": [BOB]},
        }
        run_id = (await client.post("/tasks", body, f"t-{mark}"))["last_run_id"]
        order.run = await client.ended(run_id, 240)


async def strike(fleet: Fleet, post: Post, audit: Audit, blows: list[Blow], rng: random.Random) -> None:
    """Kill workers in the middle of what they ask Gmail for, at points chosen at random."""
    aims = ["POST drafts", "PUT drafts", "GET drafts", "POST drafts/send", "POST drafts/send"]
    async with asyncio.TaskGroup() as group:
        for _ in range(KILLS):
            aim, done = rng.choice(aims), rng.random() < 0.5
            member, blow = await _find(fleet, post, audit, aim, done, rng)
            fleet.kill(member)
            blows.append(blow)
            group.create_task(fleet.start("worker"))
            await asyncio.sleep(rng.uniform(0.5, 2.5))


async def _find(
    fleet: Fleet, post: Post, audit: Audit, aim: str, done: bool, rng: random.Random
) -> tuple[Member, Blow]:
    deadline = time.monotonic() + 3
    while True:
        patient = time.monotonic() < deadline  # else anything that is going on will do
        flights = [one for one in list(post.gmail.flights.values()) if "drafts" in one.what]
        flights = [one for one in flights if one.done == done and one.what.startswith(aim)] if patient else flights
        for flight in rng.sample(flights, len(flights)):
            holder = await audit.holder(flight.account.partition("@")[0])
            workers = fleet.of("worker")
            member = next((one for one in workers if holder and one.owner == holder[2]), None)
            if member is not None and len(workers) > 1:
                return member, Blow(member.owner, flight.what.split("/r-")[0], flight.done)
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def deciding(client: PatientClient, post: Post) -> AsyncGenerator[list[dict[str, Any]]]:
    """Decide what nobody knows as somebody who looks at what has left; yields the approvals that there were."""
    asked: list[dict[str, Any]] = []

    async def decide() -> None:
        while True:
            for approval in (await client.get("/approvals?status=pending&limit=100"))["data"]:
                assert approval["kind"] == "unknown_outcome", approval
                asked.append(approval)
                left = post.gmail.times_sent()[approval["arguments"]["subject"]]
                decision = {"decision": "happened" if left else "repeat"}
                await client.post(f"/approvals/{approval['id']}/decision", decision, conflict=True)
            await asyncio.sleep(0.5)

    task = asyncio.create_task(decide())
    try:
        yield asked
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def check(post: Post, audit: Audit, orders: list[Order], blows: list[Blow], asked: list[dict[str, Any]]) -> None:
    """Every mail has left once, by Gmail's count, and the ledger says so."""
    times = post.gmail.times_sent()
    wanted = [subject for order in orders for subject in order.subjects]
    print(f"kills: {dict(Counter((blow.what, blow.done) for blow in blows))}")
    attempts = Counter(order.run["attempt"] for order in orders)
    print(f"runs: {len(orders)}, attempts: {dict(sorted(attempts.items()))}, mails: {len(wanted)}, asked: {len(asked)}")
    assert await audit.lost() == []
    assert {order.run["status"] for order in orders} == {"completed"}
    assert {subject: times[subject] for subject in wanted if times[subject] != 1} == {}
    assert set(times) == set(wanted)
    rows = await audit.rows("SELECT status, count(*) AS n FROM mail_sends GROUP BY status")
    settled = {row["status"]: row["n"] for row in rows}
    assert settled.get("sent", 0) + len(asked) >= len(wanted), settled
    assert all(left.recipients == [BOB] and left.body == f"This is {left.subject}." for left in post.gmail.sent)
