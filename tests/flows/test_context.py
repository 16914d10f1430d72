"""Conversations longer than the model's window: they go on, the log stays whole, and what was sent can be seen."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from support.loopback import Loopback
from support.model_server import model_server

from app.agents.definition import AgentDefinition
from app.agents.registry import AgentRegistry
from app.models.agent import ContextPolicy
from app.models.ids import new_id
from app.models.run import Run
from app.models.summary import Summary
from app.services import conversations, definitions, runs
from tests.flows.conftest import Desk, OpenDesk
from tests.flows.test_steering import die

WINDOW = 4_000
"""Tokens; the server counts four bytes as one."""

PAGE = "All work and no play makes a dull page. " * 50
"""Two thousand bytes."""


@pytest.fixture(scope="module")
def small() -> Iterator[Loopback]:
    """A model server that refuses what is longer than its window."""
    with model_server(window=WINDOW) as server:
        yield server


@pytest.fixture
async def room(open_desk: OpenDesk, small: Loopback) -> AsyncGenerator[Desk]:
    """A desk that knows how much its model can hold."""
    small.reset()
    known = {"OPENAI_BASE_URL": f"{small.url}/v1", "SIXLANE_CONTEXT_TOKENS": str(WINDOW)}
    async with open_desk(**known) as opened:
        yield opened


class Talk:
    """A conversation with an agent of one policy, without tools unless it is given some."""

    def __init__(self, desk: Desk, conversation_id: UUID, registry: AgentRegistry) -> None:
        self.desk = desk
        self.id = conversation_id
        self.registry = registry

    @classmethod
    async def begin(cls, desk: Desk, *, tools: tuple[str, ...] = (), **policy: Any) -> "Talk":
        agent = AgentDefinition(name="assistant", tools=tools, context=ContextPolicy.model_validate(policy))
        async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
            await definitions.store(unit, agent)
            row = await unit.conversations.add(
                {"id": new_id(), "user_id": desk.owner.user_id, "pattern": "chatbot", "agent": "assistant"}
            )
        return cls(desk, row.id, AgentRegistry([agent]))

    async def say(self, *steps: dict[str, Any], mark: str = "", stream: bool = False) -> Run:
        return await self.desk.say(self.id, *steps, mark=mark, stream=stream, registry=self.registry)

    async def turn(self, *steps: dict[str, Any], stream: bool = False) -> Run:
        return (await self.desk.answer(await self.say(*steps, stream=stream))).run

    async def summaries(self) -> list[Summary]:
        """What stands beside the log, the oldest first."""
        async with self.desk.runtime.database.begin(self.desk.owner.workspace_id) as unit:
            line = [entry_id for entry_id, _ in await unit.summaries.line(self.id)]
            found = await unit.connection.execute(
                text("SELECT id FROM entries WHERE kind = 'summary' AND parent_id = ANY(:line) ORDER BY id"),
                {"line": line},
            )
            rows = [await unit.summaries.get(row.id) for row in found]
        return [row for row in rows if row is not None]


def refused(server: Loopback) -> int:
    return sum(entry["outcome"] == "400" for entry in server.log())


@pytest.mark.parametrize("stream", [False, True])
async def test_three_windows_go_on_without_an_error(room: Desk, small: Loopback, stream: bool) -> None:
    talk = await Talk.begin(room)
    ended = [await talk.turn({"text": f"{number}: {PAGE}"}, stream=stream) for number in range(12)]
    assert [run.status for run in ended] == ["completed"] * 12, [run.status_detail for run in ended]
    entries = await room.entries(talk.id)
    assert sum(len(str(entry.message)) for entry in entries) // 4 > 3 * WINDOW
    assert len(entries) == 24
    assert refused(small) == 0
    made = await talk.summaries()
    assert made
    assert [summary.run_id in {run.id for run in ended} for summary in made] == [True] * len(made)
    sent = runs.sent_of(ended[-1])
    assert sent is not None
    assert (sent.policy, sent.summary_id, sent.left_out) == ("summarise", made[-1].id, made[-1].entries)
    assert sent.messages == 23 - sent.left_out + 1
    assert sent.tokens_estimated <= WINDOW
    assert sum(run.usage["requests"] for run in ended) == 12 + sum(one.usage["requests"] for one in made)
    async with room.runtime.database.begin(room.owner.workspace_id) as unit:
        await conversations.erase(unit, room.owner, talk.id)
        ids = [*(entry.id for entry in entries), *(summary.id for summary in made)]
        left = await unit.connection.execute(text("SELECT count(*) FROM entries WHERE id = ANY(:ids)"), {"ids": ids})
        assert left.scalar_one() == 0


async def test_a_window_slides_and_asks_for_no_summary(room: Desk, small: Loopback) -> None:
    talk = await Talk.begin(room, policy="window", keep_messages=5)
    ended = [await talk.turn({"text": f"{number}: {PAGE}"}) for number in range(8)]
    assert {run.status for run in ended} == {"completed"}
    sent = runs.sent_of(ended[-1])
    assert sent is not None
    assert sent.messages <= 6
    assert sent.left_out + 5 >= 15
    assert sent.summary_id is None
    assert await talk.summaries() == []
    assert [run.usage["requests"] for run in ended] == [1] * 8
    assert refused(small) == 0


async def test_everything_is_sent_where_the_agent_says_so(room: Desk) -> None:
    talk = await Talk.begin(room, policy="full")
    while (run := await talk.turn({"text": PAGE})).status == "completed":
        pass
    assert (run.status, run.status_reason) == ("failed", "context_too_long")
    assert run.status_detail is not None
    assert "start a new one" in run.status_detail


@pytest.mark.parametrize("stream", [False, True])
async def test_a_smaller_window_than_was_thought(open_desk: OpenDesk, small: Loopback, stream: bool) -> None:
    small.reset()
    async with open_desk(OPENAI_BASE_URL=f"{small.url}/v1") as desk:
        talk = await Talk.begin(desk)
        ended = [await talk.turn({"text": f"{number}: {PAGE}"}, stream=stream) for number in range(6)]
    assert [run.status for run in ended] == ["completed"] * 6, [run.status_detail for run in ended]
    assert 0 < refused(small) <= 6
    sent = runs.sent_of(ended[-1])
    assert sent is not None
    assert sent.left_out > 0


async def test_rounds_of_tools_within_one_run(room: Desk, small: Loopback) -> None:
    talk = await Talk.begin(room, tools=("remember",))
    note = {"name": "remember", "args": {"key": "page", "text": PAGE}}
    run = await talk.turn({"loop_tool": note})
    assert run.status_reason in ("limit_tool_calls", "limit_steps"), run.status_detail
    assert refused(small) == 0
    made = await talk.summaries()
    assert len(made) >= 2
    assert all(summary.before_response for summary in made)
    await room.entries(talk.id)


async def test_a_crash_does_not_pay_for_a_summary_twice(room: Desk, small: Loopback) -> None:
    talk = await Talk.begin(room)
    while (run := await talk.turn({"text": PAGE})).usage["requests"] == 1:
        assert run.status == "completed"
    before = len(await talk.summaries())
    held = {"text": PAGE, "hold_s": 20, "hold_after": 1, "times": 1}
    while True:
        run = await talk.say(held, mark=f"crash.{new_id().hex[-4:]}", stream=True)
        marker = str(run.input["prompt"]).split("MARK: ")[1].split()[0]
        await asyncio.to_thread(small.wait, f"marker={marker}&phase=holding")
        if len(await talk.summaries()) > before:
            break
        small.release(marker)
        await room.answer(run)
    await die(room, run)
    turn = await room.answer(run)
    assert (turn.run.status, turn.run.attempt) == ("completed", 2)
    assert len(await talk.summaries()) == before + 1
    assert turn.run.usage["requests"] == 2
