"""The core of the product on a PostgreSQL and a Redis of the distribution's packages, with real processes."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import inspect, text
from support.fleet import Theatre, theatre
from support.ledger import check_history
from support.load import targets
from support.model_server import script
from support.patient import PatientClient
from support.programs import ROOT, clean_environment
from support.stores import outside_urls

from app.database.connection import Database
from app.database.models import metadata
from app.database.stores.entries import ConversationLog
from app.database.stores.queue import LaneRoom
from app.models.ids import new_id
from app.services import users

pytestmark = pytest.mark.external

POST = {"name": "http_post", "args": {"target": "safe", "data": {"note": "MARK: outside"}}}
SUM = {"name": "calculator", "args": {"expression": "6*7"}}


@dataclass(frozen=True)
class Scene:
    """A fleet on the outside stores, and a client of it."""

    world: Theatre
    client: PatientClient
    redis_url: str

    async def conversation(self, approval: str = "allow") -> str:
        """A conversation that may post to the receiver."""
        chosen = [{**one, "approval": approval} for one in targets(self.world.receiver)]
        return (await self.client.post("/conversations", {"targets": chosen}))["id"]

    async def say(self, conversation_id: str, *steps: dict[str, Any], mark: str = "") -> dict[str, Any]:
        """A turn and its answer."""
        return await self.client.post(
            f"/conversations/{conversation_id}/messages", {"message": script(*steps, mark=mark)}
        )

    async def answers(self, conversation_id: str) -> list[str]:
        """What the assistant said in a conversation."""
        found = (await self.client.get(f"/conversations/{conversation_id}/messages"))["data"]
        return [item["content"] for item in found if item["role"] == "assistant" and item["content"]]

    async def flush(self) -> None:
        """Empty the Redis."""
        async with Redis.from_url(self.redis_url) as redis:
            await redis.flushall()

    async def posts(self) -> int:
        """How many effects have arrived at the receiver."""
        return len(await asyncio.to_thread(self.world.receiver.log))


@pytest.fixture
async def scene(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with theatre(database_url, redis_url, tmp_path) as world:
        await asyncio.gather(*(world.fleet.start(role) for role in ("api", "api", "worker")))
        async with aclosing(PatientClient(world.fleet)) as client:
            yield Scene(world, client, redis_url)
        assert world.fleet.gone() == []


async def test_the_stores_are_those_of_the_distribution(database: Database, redis_url: str) -> None:
    assert outside_urls() is not None, "run .ci/external: it starts both servers"
    async with database.across() as unit:
        version = (await unit.connection.execute(text("SHOW server_version"))).scalar_one()
    async with Redis.from_url(redis_url) as redis:
        info = await redis.info("server")
    print(f"\nPostgreSQL {version}, Redis {info['redis_version']}")
    assert int(version.split(".")[0]) >= 15
    assert int(info["redis_version"].split(".")[0]) >= 7


def alembic(database_url: str, *arguments: str) -> None:
    """The migration command as an operator types it."""
    command = [sys.executable, "-m", "alembic", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(DATABASE_URL=database_url), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


async def test_migrations_go_up_down_and_up_again(database: Database, database_url: str) -> None:
    async def tables() -> set[str]:
        async with database.across() as unit:
            found = await unit.connection.run_sync(lambda connection: inspect(connection).get_table_names())
        return set(found) - {"alembic_version"}

    assert tables_of_the_code() <= await tables()
    await asyncio.to_thread(alembic, database_url, "downgrade", "base")
    assert await tables() == set()
    await asyncio.to_thread(alembic, database_url, "upgrade", "head")
    assert tables_of_the_code() <= await tables()
    await asyncio.to_thread(alembic, database_url, "check")
    assert (await users.local_owner(database)).workspace_id


def tables_of_the_code() -> set[str]:
    return set(metadata.tables)


async def test_chat_delegation_and_an_effect(scene: Scene) -> None:
    conversation_id = await scene.conversation()
    turn = await scene.say(conversation_id, {"tools": [SUM]}, {"text": "It is 42."})
    assert (turn["status"], turn["message"]["content"]) == ("completed", "It is 42.")

    order = {"task_type": "delegation", "prompt": script({"tools": [POST]}, {"text": "posted"})}
    task = await scene.client.post("/tasks", {**order, "targets": targets(scene.world.receiver)})
    run = await scene.client.ended(task["last_run_id"])
    assert (run["status"], run["result"]) == ("completed", "posted")
    assert await scene.posts() == 1
    shown = await scene.client.get(f"/tasks/{task['id']}")
    assert (shown["status"], shown["result"]) == ("completed", "posted")


async def test_an_approval_is_decided_after_a_flush(scene: Scene) -> None:
    conversation_id = await scene.conversation(approval="ask")
    turn = await scene.say(conversation_id, {"tools": [POST]}, {"text": "posted"})
    assert turn["status"] == "waiting"
    assert await scene.posts() == 0
    await scene.flush()
    await scene.client.post(f"/approvals/{turn['approvals'][0]['id']}/decision", {"decision": "approve"})
    assert (await scene.client.ended(turn["run_id"]))["status"] == "completed"
    assert await scene.posts() == 1


async def read(http: httpx.AsyncClient, request: httpx.Request, most: int = 10**6) -> tuple[str, list[dict[str, Any]]]:
    """The run and up to `most` events of a stream; then the client leaves."""
    events: list[dict[str, Any]] = []
    answer = await http.send(request, stream=True)
    async with aclosing(answer):
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
            if len(events) == most:
                break
    return answer.headers.get("location", "").rpartition("/")[2], events


async def test_a_stream_goes_on_in_another_process_after_a_flush(scene: Scene) -> None:
    spoken = "one two three four five six seven"
    said = script({"text": spoken, "chunks": 7, "hold_s": 20, "hold_after": 3}, mark="cut")
    path, body = f"/conversations/{await scene.conversation()}/messages", {"message": said, "stream": True}
    here, there = scene.world.fleet.of("api")
    async with httpx.AsyncClient(timeout=30) as http:
        run_id, events = await read(http, http.build_request("POST", f"{here.url}{path}", json=body), most=2)
        await asyncio.to_thread(scene.world.model.wait, "marker=cut&phase=holding")
        await scene.flush()
        headers = {"Last-Event-ID": str(events[-1]["seq"])}
        request = http.build_request("GET", f"{there.url}/runs/{run_id}/events", headers=headers)
        following = asyncio.create_task(read(http, request))
        await asyncio.to_thread(scene.world.model.release, "cut")
        events += (await following)[1]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert "".join(event["text"] for event in events if event["type"] == "message.delta") == spoken
    assert events[-1]["type"] == "run.completed"


async def test_forks_share_a_log_and_outlive_its_erasure(scene: Scene) -> None:
    conversation_id = await scene.conversation()
    await scene.say(conversation_id, {"tools": [SUM]}, {"text": "first"})
    fork = (await scene.client.post(f"/conversations/{conversation_id}/fork", {}))["id"]
    await scene.say(fork, {"text": "second"})
    assert await scene.answers(conversation_id) == ["first"]
    async with httpx.AsyncClient() as http:
        erased = await http.delete(f"{scene.world.fleet.of('api')[0].url}/conversations/{conversation_id}")
    assert erased.status_code == 204
    assert await scene.answers(fork) == ["first", "second"]
    owner = await users.local_owner(scene.world.fleet.database)
    async with scene.world.fleet.database.begin(owner.workspace_id) as unit:
        entries = await ConversationLog(unit.connection, unit.workspace_id).entries(UUID(fork))
    check_history([entry.message for entry in entries])


async def test_claims_are_fair_and_keep_their_caps(database: Database) -> None:
    owner = await users.local_owner(database)
    async with database.begin(owner.workspace_id) as unit:
        names = [(await unit.users.see(name)).id for name in ("busy", "quiet")]
        for user_id, count in zip(names, (12, 2), strict=True):
            for _ in range(count):
                conversation = await unit.conversations.add(
                    {"id": new_id(), "user_id": user_id, "pattern": "delegation", "agent": "delegate"}
                )
                await unit.runs.add(queued(conversation.id, user_id))
    room = {"background": LaneRoom(slots=20, per_user=5, per_agent=0, per_workspace=0)}
    claimed: list[UUID] = []
    for most in (4, 16):
        async with database.across() as unit:
            claimed += [run.user_id for run in await unit.queue.claim("somebody", 30, most, room)]
        if most == 4:
            assert sorted(map(claimed.count, names)) == [2, 2]
    assert [claimed.count(name) for name in names] == [5, 2]


def queued(conversation_id: UUID, user_id: UUID) -> dict[str, Any]:
    return {
        "id": new_id(),
        "conversation_id": conversation_id,
        "user_id": user_id,
        "pattern": "delegation",
        "agent": "delegate",
        "agent_version": "1",
        "model": "demo",
        "lane": "background",
        "status": "queued",
        "max_attempts": 5,
        "trigger": "api",
        "input": {"prompt": "hi"},
        "created_by": "test",
    }
