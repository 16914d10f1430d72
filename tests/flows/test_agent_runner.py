"""The agent runner: the exchanges of its documentation, one run per user, and what the two agents hand in."""

import asyncio
import json
from typing import Any
from uuid import UUID

import httpx
from support import papers
from support.loopback import Loopback
from support.model_server import script
from support.serving import serving

from app.agents.document_agents import DOCUMENT_AGENTS
from app.agents.samples import AGREEMENT, EXPENSES
from app.agents.schemas import violations
from app.config import Settings
from app.main import create_app
from app.models.agent_run import AgentRunCreate, AgentRunOut
from app.models.ids import new_id
from app.runtime import Runtime, open_runtime
from app.services import agent_runner, chat, files, orders
from tests.flows.conftest import Desk, OpenDesk

USER = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


async def ended(runtime: Runtime, run_id: str) -> None:
    """Wait for the run's end, whichever process carries it out."""
    async with runtime.database.across() as across:
        workspace = await across.directory.workspace("default")
    async with runtime.database.begin(workspace.id) as unit:
        run = await unit.runs.get(UUID(run_id))
    assert run is not None
    await chat.answer(runtime.works.chat, run)


async def test_the_documented_exchanges_word_for_word(settings: Settings) -> None:
    app = create_app(settings)
    async with serving(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        body = {"agent_type": "document-extractor", "user_id": USER}
        started = await client.post("/agents/run", json=body, headers=HEADERS)
        assert (started.status_code, set(started.json())) == (200, {"run_id", "status"})
        assert started.json()["status"] == "running"
        run_id = started.json()["run_id"]

        conflict = await client.post("/agents/run", json=body, headers=HEADERS)
        assert (conflict.status_code, conflict.json()["detail"]) == (409, "An agent is already running")
        assert conflict.headers["x-should-retry"] == "false"
        other = await client.post("/agents/run", json={**body, "user_id": "somebody else"}, headers=HEADERS)
        assert other.status_code == 200

        running = (await client.get(f"/agents/status/{run_id}", headers=HEADERS)).json()
        seed = {"run_id", "agent_type", "user_id", "status", "result", "error", "started_at", "completed_at"}
        assert seed == set(running) - {"result_data"}
        assert {name: running[name] for name in ("run_id", "agent_type", "user_id")} == {"run_id": run_id, **body}
        assert (running["status"], running["result"], running["completed_at"]) == ("running", None, None)
        assert running["started_at"]

        async with open_runtime(settings, "worker") as worker:
            await ended(worker, run_id)
        done = (await client.get(f"/agents/status/{run_id}", headers=HEADERS)).json()
        assert (done["status"], done["error"]) == ("completed", None), done
        assert done["completed_at"] >= done["started_at"]
        assert json.loads(done["result"]) == done["result_data"]
        assert done["result_data"]["source"].startswith("sample document sample-service-agreement.md")

        absent = str(new_id())
        missing = await client.get(f"/agents/status/{absent}", headers=HEADERS)
        assert (missing.status_code, missing.json()["detail"]) == (404, f"Run ID: {absent} not found")
        unknown = await client.post("/agents/run", json={**body, "agent_type": "POET"}, headers=HEADERS)
        assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_type")
        assert "document-extractor, policy-checker" in unknown.json()["detail"]
        for given in ({}, {"text": "a", "url": "https://example.com/"}, {"url": "http://127.0.0.1/"}):
            assert (await client.post("/agents/run", json={**body, "input": given})).status_code == 422
        policy = {"agent_type": "policy_checker", "user_id": "third", "input": {"text": "A report."}}
        assert (await client.post("/agents/run", json=policy)).json()["code"] == "policy_missing"


async def test_the_demo_model_really_reads_what_it_is_given(settings: Settings) -> None:
    app = create_app(settings)
    async with serving(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        file = (await client.post("/files", content=papers.table(), params={"name": "invoice.pdf"})).json()
        wishes: list[dict[str, Any]] = [
            {"agent_type": "DOCUMENT_EXTRACTOR", "user_id": "a"},
            {"agent_type": "DOCUMENT EXTRACTOR", "input": {"file_id": file["id"]}},
            {"agent_type": "POLICY_CHECKER", "user_id": "c"},
        ]
        runs = [(await client.post("/agents/run", json=wish)).json()["run_id"] for wish in wishes]
        async with open_runtime(settings, "worker") as worker:
            for run_id in runs:
                await ended(worker, run_id)
        sample, invoice, checked = [(await client.get(f"/agents/status/{run_id}")).json() for run_id in runs]
    for shown, agent in ((sample, 0), (invoice, 0), (checked, 1)):
        assert shown["status"] == "completed", shown
        data = dict(shown["result_data"])
        del data["source"]
        schema = DOCUMENT_AGENTS[agent].output_schema
        assert schema is not None
        assert violations(schema, data) == []
    read = sample["result_data"]
    assert (read["title"], read["document_type"], read["language"]) == ("Service agreement", "agreement", "en")
    assert [date["date"] for date in read["dates"]] == ["2026-03-12", "2026-04-01", "2027-03-31"]
    assert [(one["amount"], one["currency"]) for one in read["amounts"]][:2] == [("1450.00", "EUR"), ("2300.00", "EUR")]
    assert "Harbour Lane Books GmbH" in [party["name"] for party in read["parties"]]
    assert "support@brightwater.example" in AGREEMENT
    assert invoice["result_data"]["source"] == "invoice.pdf"
    assert [one["amount"] for one in invoice["result_data"]["amounts"]] == ["10.00", "5.50", "25.50"]
    assert invoice["user_id"] == "owner"
    quotes = [finding["quote"] for finding in checked["result_data"]["findings"] if finding["quote"]]
    assert quotes
    assert all(quote in EXPENSES for quote in quotes)


async def test_an_invented_quote_is_sent_back(desk: Desk) -> None:
    def found(quote: str) -> dict[str, Any]:
        finding = {"rule": "r", "verdict": "violated", "severity": "low", "explanation": "e", "quote": quote}
        answer = {"verdict": "violations", "summary": "s", "findings": [finding]}
        return {"tools": [{"name": "final_result", "args": answer}]}

    steps = [found("The dinner cost 900 EUR."), found("The dinner cost\n90 EUR.")]
    body = {"agent_type": "policy-checker", "input": {"text": "Report.\nThe dinner cost 90 EUR."}}
    wanted = AgentRunCreate.model_validate({**body, "policy": script(*steps, mark="")})
    runtime = desk.runtime
    counter = orders.Desk(runtime.registry, runtime.models, runtime.guard, runtime.vault)
    async with runtime.database.begin(desk.owner.workspace_id) as unit:
        started, _ = await agent_runner.begin(
            unit, desk.owner, wanted, desk=counter, patience=agent_runner.Patience(), once=None
        )
        run = await unit.runs.get(started.run_id)
    assert run is not None
    turn = await desk.answer(run)
    assert turn.run.status == "completed", turn.run.status_detail
    assert turn.run.usage["requests"] == 2
    refused = next(event for event in await desk.events(run) if event["type"] == "tool.result")
    assert "findings.0.quote: these words do not stand in the document" in refused["summary"]


async def test_fifty_requests_of_one_user_at_once_begin_one_run(desk: Desk, model: Loopback) -> None:
    answer = {"verdict": "compliant", "summary": "s", "findings": []}
    step = {"tools": [{"name": "final_result", "args": answer}], "hold_s": 30}
    body = {
        "agent_type": "policy-checker",
        "user_id": USER,
        "input": {"text": "A report."},
        "policy": script(step, mark="fifty"),
    }
    app = create_app(desk.runtime.settings)
    async with serving(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        answers = await asyncio.gather(*(client.post("/agents/run", json=body) for _ in range(50)))
        assert sorted(one.status_code for one in answers) == [200] + [409] * 49
        details = {one.json()["detail"] for one in answers if one.status_code == 409}
        assert details == {"An agent is already running"}
        run_id = next(one.json()["run_id"] for one in answers if one.status_code == 200)
        await asyncio.to_thread(model.wait, "marker=fifty&phase=holding")
        status = (await client.get(f"/agents/status/{run_id}")).json()
        assert (status["status"], status["result"]) == ("running", None)
        assert (await client.post("/agents/run", json=body)).status_code == 409
        await asyncio.to_thread(model.post, "/_release?marker=fifty")
        await ended(desk.runtime, run_id)
        assert (await client.get(f"/agents/status/{run_id}")).json()["status"] == "completed"
        again = (await client.post("/agents/run", json=body)).json()["run_id"]
        await client.post(f"/runs/{again}/cancel")
        await ended(desk.runtime, again)
        stopped = (await client.get(f"/agents/status/{again}")).json()
        assert (stopped["status"], bool(stopped["error"]), bool(stopped["completed_at"])) == ("failed", True, True)


async def test_a_document_at_an_address_is_fetched_once_and_kept(open_desk: OpenDesk) -> None:
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n")).decode())
        found = b"/paper%20one.pdf" in asked[-1].encode()
        content = papers.table() if found else b"gone"
        head = f"HTTP/1.1 {200 if found else 404} x\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, open_desk(OUTBOUND_ALLOW_HOSTS=place, SIXLANE_DEMO="true") as desk:
        shown: list[AgentRunOut] = []
        for path in ("paper%20one.pdf", "absent.pdf"):
            given = {"agent_type": "document-extractor", "input": {"url": f"http://{place}/{path}"}}
            counter = orders.Desk(desk.runtime.registry, desk.runtime.models, desk.runtime.guard, desk.runtime.vault)
            async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
                wanted = AgentRunCreate.model_validate(given)
                patience = agent_runner.Patience()
                started, _ = await agent_runner.begin(
                    unit, desk.owner, wanted, desk=counter, patience=patience, once=None
                )
            await ended(desk.runtime, str(started.run_id))
            async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
                shown.append(await agent_runner.look(unit, desk.owner, started.run_id))
                kept = await files.of_run(unit, started.run_id)
            assert [(one.name, one.role) for one in kept] == ([("paper one.pdf", "input")] if "one" in path else [])
    assert [one["amount"] for one in shown[0].result_data["amounts"]] == ["10.00", "5.50", "25.50"]
    assert shown[0].result_data["source"].endswith("/paper%20one.pdf")
    assert (shown[1].status, shown[1].error) == (
        "failed",
        "The document could not be fetched: the server answered 404.",
    )
    assert len(asked) == 2
