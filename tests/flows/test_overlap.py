"""512 turns at 64 a time over a handful of conversations and two API processes: nothing breaks, nothing is lost."""

import asyncio
import json
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from support.fleet import Theatre, theatre
from support.ledger import check_history
from support.model_server import script

from app.database.stores.entries import ConversationLog
from app.services import users

pytestmark = [pytest.mark.xdist_group("chaos"), pytest.mark.crowd]

TURNS, AT_ONCE, CONVERSATIONS = 512, 64, 8
ENDED = ("completed", "cancelled")
SUM = {"tools": [{"name": "calculator", "args": {"expression": "6*7"}}]}


@dataclass
class Turn:
    """One message and what came of it."""

    number: int
    conversation_id: str
    on_busy: str
    stream: bool
    steps: list[dict[str, Any]]
    status: int = 0
    run_id: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def answer(self) -> str:
        """What the model says at the end."""
        return f"answer of turn {self.number}."


class Crowd:
    """Clients that go round the API processes and care for nobody else's turn."""

    def __init__(self, world: Theatre, rng: random.Random) -> None:
        self.turns: list[Turn] = []
        self._world = world
        self._rng = rng
        # No expiry: the client's pool may close a connection that expires between being given out and being used.
        limits = httpx.Limits(max_connections=AT_ONCE * 2, keepalive_expiry=None)
        self._http = httpx.AsyncClient(timeout=60, limits=limits)

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    def url(self, number: int) -> str:
        """The next API process."""
        apis = self._world.fleet.of("api")
        return apis[number % len(apis)].url

    async def conversations(self) -> list[str]:
        """New conversations."""
        made = [await self._http.post(f"{self.url(n)}/conversations", json={}) for n in range(CONVERSATIONS)]
        return [answer.json()["id"] for answer in made]

    async def talk(self, conversations: list[str]) -> None:
        """Every turn, so many at once."""
        for number in range(TURNS):
            how = self._rng.choices(("reject", "enqueue", "interrupt"), (5, 3, 2))[0]
            steps = [SUM] * (self._rng.random() < 0.3)
            where, stream = self._rng.choice(conversations), self._rng.random() < 0.5
            self.turns.append(Turn(number, where, how, stream, steps))
        gate = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for turn in self.turns:
                group.create_task(self._say(turn, gate))

    async def _say(self, turn: Turn, gate: asyncio.Semaphore) -> None:
        said = script(*turn.steps, {"text": turn.answer, "delay_ms": self._rng.randrange(15)}, mark=f"t{turn.number}")
        body = {"message": said, "stream": turn.stream, "on_busy": turn.on_busy}
        async with gate:
            url = f"{self.url(turn.number)}/conversations/{turn.conversation_id}/messages"
            async with self._http.stream("POST", url, json=body) as answer:
                turn.status = answer.status_code
                if "location" in answer.headers:
                    turn.run_id = answer.headers["location"].rsplit("/", 1)[1]
                async for line in answer.aiter_lines():
                    if turn.stream and line.startswith("data: "):
                        turn.events.append(json.loads(line.removeprefix("data: ")))

    async def ended(self, turn: Turn) -> dict[str, Any]:
        """The turn's run, when it has ended."""
        async with asyncio.timeout(30):
            while True:
                run = (await self._http.get(f"{self.url(turn.number)}/runs/{turn.run_id}")).json()
                if run["status"] in ("completed", "failed", "cancelled"):
                    return run
                await asyncio.sleep(0.1)


async def answers(world: Theatre, conversation_id: str) -> Counter[str]:
    """The last words of every turn in the conversation's log, which must be one that a provider accepts."""
    owner = await users.local_owner(world.fleet.database)
    async with world.fleet.database.begin(owner.workspace_id) as unit:
        entries = await ConversationLog(unit.connection, unit.workspace_id).entries(UUID(conversation_id))
    check_history([entry.message for entry in entries])
    parts = [part for entry in entries for part in entry.message["parts"]]
    return Counter(part["content"] for part in parts if part["part_kind"] == "text")


async def test_overlapping_turns(database_url: str, redis_url: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("SIXLANE_OVERLAP_SEED") or random.SystemRandom().randrange(10**6))
    print(f"\nSIXLANE_OVERLAP_SEED={seed}")
    async with theatre(database_url, redis_url, tmp_path) as world, Crowd(world, random.Random(seed)) as crowd:
        await asyncio.gather(*(world.fleet.start(role) for role in ("api", "api", "worker")))
        conversations = await crowd.conversations()
        await crowd.talk(conversations)
        answered = Counter((turn.on_busy, turn.status) for turn in crowd.turns)
        print(dict(answered))
        assert {status for _, status in answered} <= {200, 202, 409}
        assert all(turn.on_busy == "reject" for turn in crowd.turns if turn.status == 409)
        accepted = [turn for turn in crowd.turns if turn.status != 409]
        assert all(turn.run_id for turn in accepted)
        runs = {turn.number: await crowd.ended(turn) for turn in accepted}
        assert {run["status"] for run in runs.values()} <= set(ENDED), [r for r in runs.values() if r["error"]]
        assert all(run["status_reason"] == "superseded" for run in runs.values() if run["status"] == "cancelled")
        said = sum([await answers(world, one) for one in conversations], Counter[str]())
        completed = {turn.answer for turn in accepted if runs[turn.number]["status"] == "completed"}
        print(f"accepted {len(accepted)}, completed {len(completed)}")
        assert len(completed) > CONVERSATIONS * 2
        # A turn may be taken over when its answer is there and not stored as one yet, so there may be more.
        assert {text for text in completed if said[text] != 1} == set()
        assert [turn.answer for turn in accepted if said[turn.answer] > 1] == []
        for turn in accepted:
            check_stream(turn, runs[turn.number])
        assert world.fleet.gone() == []
        assert [line for member in world.fleet.members for line in world.fleet.grave(member)] == []


def check_stream(turn: Turn, run: dict[str, Any]) -> None:
    """A stream has every event once, in order, up to the end that the run came to."""
    if turn.stream and turn.status == 200:
        assert [event["seq"] for event in turn.events] == list(range(1, len(turn.events) + 1)), turn.run_id
        assert turn.events[-1]["type"] == f"run.{run['status']}"
