"""What operators ask: health, info, metrics, the documentation and the OpenAPI document."""

import re
from pathlib import Path

import httpx
from conftest import test_settings
from fastapi import FastAPI
from pydantic import TypeAdapter

from app.api.deps import AnyScope, Keyless, Requires
from app.api.route import StrictRoute, mark_of
from app.api.routers import ROUTERS, routes
from app.main import create_app
from app.models.events import CATALOGUE


async def test_health_tells_a_live_process_from_a_ready_one(app: FastAPI, client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "ok"}
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")

    database = app.state.runtime.database
    async with database.across() as unit:
        await unit.connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'later'")
    assert (await client.get("/health/ready")).status_code == 200
    async with database.across() as unit:
        await unit.connection.exec_driver_sql("DELETE FROM alembic_version")
    older = await client.get("/health/ready")
    assert (older.status_code, older.json()["code"]) == (503, "schema_outdated")
    assert "sixlane migrate" in older.json()["detail"]
    assert older.headers["retry-after"]
    assert (await client.get("/health/live")).status_code == 200


async def test_info_names_version_model_limits_events_and_processes(client: httpx.AsyncClient) -> None:
    info = (await client.get("/info")).json()
    assert info["mode"] == "local"
    assert info["model"]["name"] == "demo"
    assert info["events"] == [model.model_fields["type"].annotation.__args__[0] for model in CATALOGUE]  # type: ignore[union-attr]
    assert {"chatbot", "delegation"} <= set(info["patterns"])
    assert info["limits"]["max_body_bytes"] == 1_048_576
    assert "counted" not in str(info["processes"])


async def test_metrics_count_requests_by_template_and_runs_by_state(app: FastAPI, client: httpx.AsyncClient) -> None:
    made = (await client.post("/conversations", json={})).json()
    await client.post(f"/conversations/{made['id']}/messages", json={"message": "Hello"})
    await client.post("/tasks", json={"task_type": "delegation", "prompt": "Later"})
    await client.get("/nowhere")
    runtime = app.state.runtime
    async with runtime.database.across() as unit:
        load = {"counted": runtime.metrics.counted()}
        await unit.processes.report("p1", role="api", version="0", host="h", pid=1, load=load)
    text = (await client.get("/metrics")).text

    assert re.search(r'sixlane_http_requests_total\{method="POST",route="/conversations",status="201"\} 1\.0', text)
    assert 'route="/conversations/{conversation_id}/messages"' in text
    assert 'route="unmatched"' in text
    assert made["id"] not in text
    assert 'sixlane_runs{status="queued"} 1.0' in text
    assert 'sixlane_queue_age_seconds{lane="background"}' in text
    assert 'sixlane_schedule_lateness_seconds{kind="overdue"} 0.0' in text
    assert 'sixlane_runs_ended_total{pattern="chatbot",process="p1",status="completed"} 1.0' in text
    assert 'sixlane_tokens_total{direction="output",model="demo",process="p1"}' in text


async def test_the_documentation_needs_nothing_from_outside(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    sources = re.findall(r'(?:src|href|url)[=:]\s*["\']([^"\']+)', page.text)
    assert sources
    for source in sources:
        assert source.startswith("/"), source
        found = await client.get(source)
        assert found.status_code == 200, source
        assert len(found.content) > 500
    assert (await client.get("/docs/assets/passwd")).status_code == 404


async def test_every_route_has_examples_that_its_own_models_read(app: FastAPI, client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for route in routes():
        if not route.include_in_schema:
            continue
        for method in route.methods or ():
            operation = document["paths"][route.path][method.lower()]
            answers = {code: answer for code, answer in operation["responses"].items() if code.startswith("2")}
            assert answers, route.path
            for code, answer in answers.items():
                if code == "204":
                    continue
                assert any("example" in content for content in answer["content"].values()), (route.path, code)
                shown = answer["content"].get("application/json", {}).get("example")
                if shown is not None and route.response_model is not None:
                    TypeAdapter(route.response_model).validate_python(shown, from_attributes=False)
            for code in ("401", "403", "422", "503"):
                if route.path.startswith("/metrics"):
                    continue
                form = "application/json" if route.path.startswith("/v1/") else "application/problem+json"
                assert form in operation["responses"][code]["content"], (route.path, code)
    assert document["components"]["schemas"]["Problem"]
    assert document["components"]["schemas"]["MessageDelta"]
    refs = set(re.findall(r'"#/components/schemas/([^"]+)"', (await client.get("/openapi.json")).text))
    assert refs <= set(document["components"]["schemas"])


async def test_every_door_says_who_may_come_in() -> None:
    for router in ROUTERS:
        assert router.route_class is StrictRoute
    for route in routes():
        mark = mark_of(route.dependant)
        assert isinstance(mark, Requires | AnyScope | Keyless), route.path
    open_doors = {route.path for route in routes() if isinstance(mark_of(route.dependant), Keyless)}
    assert open_doors == {
        "/health/live",
        "/health/ready",
        "/docs",
        "/docs/assets/{name}",
        "/openapi.json",
        "/tasks/webhooks/{task_id}",
        "/connections/google/start",
        "/auth/callback",
        "/approvals/link/{token}",
        "/slack/events",
        "/slack/commands",
        "/slack/interactions",
    }


async def test_a_defect_of_ours_tells_nothing_of_its_cause(app: FastAPI, client: httpx.AsyncClient) -> None:
    runtime = app.state.runtime
    app.state.runtime = None
    try:
        broken = await client.get("/conversations", headers={"X-Request-ID": "find-me"})
    finally:
        app.state.runtime = runtime
    assert broken.status_code == 500
    problem = broken.json()
    assert (problem["code"], problem["request_id"]) == ("internal_error", "find-me")
    assert "Attribute" not in broken.text
    assert broken.headers["x-request-id"] == "find-me"


async def test_an_absent_database_is_an_answer_with_a_time_to_come_back(redis_url: str, tmp_path: Path) -> None:
    away = create_app(test_settings("postgresql+asyncpg://nobody@127.0.0.1:9/nothing", redis_url, tmp_path))
    async with away.router.lifespan_context(away):
        transport = httpx.ASGITransport(away, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for path in ("/conversations", "/health/ready", "/metrics"):
                answer = await client.get(path)
                assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable"), path
                assert int(answer.headers["retry-after"]) > 0
            assert (await client.get("/health/live")).status_code == 200
