"""Tools of other servers: a program that the operator has configured, and an address that the guard lets through."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.mcp_server import LEDGER, server
from support.model_server import script
from support.serving import serving

from app.agents.servers import load_servers
from app.models.agent import AgentCreate
from app.models.errors import InvalidInput, SettingError
from app.models.ids import new_id
from app.models.run import Run
from app.services import agents, chat, orders
from app.services.chat import Say
from tests.flows.conftest import Desk, OpenDesk

DONE = {"text": "done"}


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"tools": [{"name": f"books_{tool}", "args": arguments}]}


async def define(desk: Desk, name: str = "clerk", **fields: Any) -> None:
    runtime = desk.runtime
    place = orders.Desk(runtime.registry, runtime.models, runtime.guard, runtime.vault)
    async with runtime.database.begin(desk.owner.workspace_id) as unit:
        wanted = AgentCreate.model_validate({"name": name, **fields})
        await agents.create(unit, desk.owner, wanted, desk=place, once=None)


async def begin(desk: Desk, *steps: dict[str, Any], agent: str = "clerk") -> Run:
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        values = {"id": new_id(), "user_id": desk.owner.user_id, "pattern": "chatbot", "agent": agent}
        row = await unit.conversations.add(values)
    return (await chat.say(desk.runtime.works.chat, desk.owner, row.id, Say(script(*steps)), None)).run


async def test_a_program_of_the_operators_asks_but_for_what_he_trusts(open_desk: OpenDesk, tmp_path: Path) -> None:
    ledger = tmp_path / "paid"
    env = {LEDGER: str(ledger), "PYTHONPATH": str(Path(__file__).parents[1])}
    books = {"command": sys.executable, "args": ["-m", "support.mcp_server"], "env": env, "read": ["balance"]}
    configured = tmp_path / "mcp.json"
    configured.write_text(json.dumps({"mcpServers": {"books": books}}))
    async with open_desk(SIXLANE_MCP=str(configured)) as desk:
        await define(desk, mcp=[{"name": "books"}])
        turn = await desk.answer(await begin(desk, call("balance", customer="Ada"), call("pay", euros=7), DONE))
        (approval,) = turn.approvals
        assert (approval.tool, approval.arguments, approval.taint) == ("books_pay", {"euros": 7}, ["books_balance"])
        assert not ledger.exists()
        await desk.decide(approval.id, "approve")
        after = await desk.answer(turn.run)
        assert after.run.status == "completed"
        assert ledger.read_text() == "7\n"
        journal = {one.tool: (one.effect, one.status) for one in await desk.journal(turn.run.id)}
        assert journal == {"books_balance": (False, "done"), "books_pay": (True, "done")}
        await desk.entries(turn.run.conversation_id)


async def test_a_server_at_an_address_goes_through_the_guard(open_desk: OpenDesk, tmp_path: Path) -> None:
    async with serving(server().streamable_http_app()) as port:  # type: ignore[arg-type]
        url = f"http://127.0.0.1:{port}/mcp"
        async with open_desk(OUTBOUND_ALLOW_HOSTS=f"127.0.0.1:{port}") as desk:
            await define(desk, mcp=[{"name": "books", "url": url}], policies={"books_break_down": "deny"})
            steps = (call("balance", customer="Ada"), call("break_down"), DONE)
            turn = await desk.answer(await begin(desk, *steps))
            assert [one.tool for one in turn.approvals] == ["books_balance"]  # nobody trusts it
            await desk.decide(turn.approvals[0].id, "approve")
            after = await desk.answer(turn.run)
            assert (after.run.status, after.run.taint) == ("completed", ["books_balance"])
            (kept,) = await desk.journal(turn.run.id)
            assert (kept.status, kept.result) == ("done", "Ada owes 70 euros")
        async with open_desk() as desk:  # the operator has closed the address since
            run = (await desk.answer(await begin(desk, DONE))).run
            assert (run.status, run.status_reason) == ("failed", "outbound_blocked")


async def test_servers_that_cannot_be_had(open_desk: OpenDesk) -> None:
    gone = {"command": sys.executable, "args": ["-c", "raise SystemExit(3)"]}
    async with open_desk(SIXLANE_MCP=json.dumps({"gone": gone})) as desk:
        await define(desk, mcp=[{"name": "gone"}])
        run = (await desk.answer(await begin(desk, DONE))).run
        assert (run.status, run.status_reason) == ("failed", "mcp_unreachable")
        assert "gone cannot be reached" in (run.status_detail or "")
        for wanted in ({"name": "mail", "url": "https://x.example"}, {"name": "gone", "url": "https://x.example"}):
            with pytest.raises(InvalidInput):
                await define(desk, "other", mcp=[wanted])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("/nowhere/mcp.json", "SIXLANE_MCP: /nowhere/mcp.json cannot be read"),
        ("{", "is no JSON"),
        ('{"a": {}}', "SIXLANE_MCP: a: "),
        ('{"a": {"command": "x", "shell": true}}', "a.shell"),
        ('{"A b": {"command": "x"}}', "A b"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_named(text: str, why: str) -> None:
    with pytest.raises(SettingError) as refused:
        load_servers(text)
    assert why in str(refused.value)
