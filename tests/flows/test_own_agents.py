"""Agents of the operator's own in conversations: typed answers, and effects that are asked about."""

from pathlib import Path

from support.model_server import script

from app.models.ids import new_id
from app.models.run import Run
from app.services import chat
from app.services.chat import Say
from tests.flows.conftest import Desk, OpenDesk

MINE = '''
from pydantic import BaseModel
from pydantic_ai import Agent
from app.agents.own import effect

class Sum(BaseModel):
    euros: int

teller = Agent(name="teller", output_type=Sum)

@teller.tool_plain
@effect(approval="ask")
def pay(euros: int) -> str:
    """Pay."""
    return f"paid {euros}"
'''


async def begin(desk: Desk, prompt: str) -> Run:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        values = {"id": new_id(), "user_id": desk.owner.user_id, "pattern": "chatbot", "agent": "teller"}
        row = await unit.conversations.add(values)
    return (await chat.say(desk.runtime.works.chat, desk.owner, row.id, Say(prompt), None)).run


async def test_an_own_agent_asks_pays_once_and_answers_with_data(open_desk: OpenDesk, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(MINE)
    async with open_desk(SIXLANE_AGENTS=str(mine)) as desk:
        pay = {"tools": [{"name": "pay", "args": {"euros": 3}}]}
        answer = {"tools": [{"name": "final_result", "args": {"euros": 3}}]}
        turn = await desk.answer(await begin(desk, script(pay, answer)))
        (approval,) = turn.approvals
        assert (approval.tool, approval.arguments) == ("pay", {"euros": 3})
        await desk.decide(approval.id, "edit", arguments={"euros": 2})
        after = await desk.answer(turn.run)
        assert after.result is not None
        assert (after.run.status, after.result.data) == ("completed", {"euros": 3})
        (call,) = await desk.journal(turn.run.id)
        assert (call.effect, call.status, call.result) == (True, "done", "paid 2")
        await desk.entries(turn.run.conversation_id)
