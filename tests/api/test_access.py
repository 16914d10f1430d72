"""Who gets in: the owner at the machine, holders of keys, and nobody else."""

import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import test_settings
from fastapi import FastAPI

from app.config import Settings
from app.main import create_app
from app.models.identity import SCOPES
from app.services import keys

ID = "0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11"


def caller(
    app: FastAPI, *, peer: str | None = "127.0.0.1", host: str = "localhost", **headers: str
) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer or "", 5000))
    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=named, timeout=30)


async def status(app: FastAPI, path: str = "/conversations", **given: Any) -> int:
    async with caller(app, **given) as client:
        answer = await client.get(path)
        if answer.status_code == 401:
            assert "www-authenticate" in answer.headers
        return answer.status_code


@pytest.fixture
async def production(database_url: str, redis_url: str, tmp_path: Path) -> AsyncGenerator[FastAPI]:
    settings = test_settings(
        database_url,
        redis_url,
        tmp_path,
        SIXLANE_ENV="production",
        PUBLIC_URL="https://agents.example",
        SIXLANE_KEYS="k1:" + "A" * 43 + "=",
        DEFAULT_MODEL="demo",
    )
    made = create_app(settings)
    async with made.router.lifespan_context(made):
        yield made


async def make_key(app: FastAPI, **fields: Any) -> dict[str, Any]:
    async with caller(app) as client:
        answer = await client.post("/api-keys", json={"name": "test", **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()


async def test_the_owner_at_the_machine_needs_no_key(app: FastAPI) -> None:
    for host in ("localhost", "localhost:8000", "127.0.0.1:8123", "[::1]:8000", "LOCALHOST"):
        assert await status(app, host=host) == 200, host
    for peer in ("127.0.0.1", "127.8.9.10", "::1"):
        assert await status(app, peer=peer) == 200, peer


STRANGERS: list[dict[str, Any]] = [
    {"peer": "192.0.2.7"},
    {"peer": None},
    {"host": "evil.example"},
    {"host": "localhost.evil.example"},
    {"host": "127.0.0.1.evil.example:8000"},
    {"Forwarded": "for=192.0.2.7"},
    {"X_Forwarded_For": "192.0.2.7"},
    {"X_Forwarded_Host": "evil.example"},
    {"CF_Connecting_IP": "192.0.2.7"},
    {"CF_Ray": "1"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "https://localhost"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
]


async def test_anything_but_the_owner_at_the_machine_needs_a_key(app: FastAPI) -> None:
    for given in STRANGERS:
        assert await status(app, **given) == 401, given


async def test_pages_of_our_own_may_call(app: FastAPI) -> None:
    assert await status(app, Origin="http://localhost") == 200
    assert await status(app, host="localhost:8000", Origin="http://localhost:8000", Sec_Fetch_Site="same-origin") == 200


async def test_a_person_may_open_a_page_by_its_address_and_nothing_more(app: FastAPI) -> None:
    assert await status(app, Sec_Fetch_Site="none") == 200
    async with caller(app) as client:
        answer = await client.post("/conversations", json={}, headers={"Sec-Fetch-Site": "none"})
        assert answer.status_code == 401
        page = await client.get("/docs", headers={"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"})
        assert page.status_code == 200


async def test_through_a_tunnel_only_the_probe_answers_without_a_key(settings: Settings) -> None:
    server = settings.server.model_copy(update={"public_url": "https://tunnel.example"})
    app = create_app(settings.model_copy(update={"server": server}))
    async with app.router.lifespan_context(app):
        key = (await make_key(app))["key"]
        for path in ("/conversations", "/docs", "/openapi.json", "/info", "/metrics", "/health/ready"):
            assert await status(app, path, host="tunnel.example") == 401, path
            assert await status(app, path, X_Forwarded_For="192.0.2.7") == 401, path
            assert await status(app, path, host="tunnel.example", X_Api_Key=key) == 200, path
        assert await status(app, "/health/live", host="tunnel.example") == 200
        assert await status(app, host="other.example", X_Api_Key=key) == 421
        assert await status(app, host="other.example") == 401


async def test_a_key_opens_from_anywhere_in_both_headers(app: FastAPI) -> None:
    key = (await make_key(app))["key"]
    assert await status(app, peer="192.0.2.7", Authorization=f"Bearer {key}") == 200
    assert await status(app, peer="192.0.2.7", X_Api_Key=key) == 200
    assert await status(app, Authorization=f"Bearer {key}", X_Api_Key=key) == 400


async def test_a_credential_that_does_not_hold_is_refused_even_at_the_machine(app: FastAPI) -> None:
    key = (await make_key(app))["key"]
    head, secret, _ = key.rsplit("_", 2)
    forged = f"{head}_{'a' * len(secret)}"
    for token in (
        "x",
        "",
        "null",
        key[:-1],
        key + "0",
        f"{forged}_{keys._checksum(forged)}",  # pyright: ignore[reportPrivateUsage]
        "' OR 1=1 --",
        "k" * 100_000,
        "sl_é_é_é",
    ):
        assert await status(app, X_Api_Key=token) == 401, token[:20]
    for value in (f"Basic {key}", key, "Bearer", "Bearer  "):
        assert await status(app, Authorization=value) == 401, value[:10]


async def test_a_revoked_key_is_refused_at_once_by_the_ledger_and_soon_everywhere(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make_key(app)
    assert await status(app, X_Api_Key=made["key"]) == 200
    async with caller(app) as client:
        revoked = await client.post(f"/api-keys/{made['id']}/revoke")
        assert revoked.json()["revoked_at"] is not None
        assert "key" not in revoked.json()
    monkeypatch.setattr(time, "monotonic", lambda real=time.monotonic: real() + 5)
    assert await status(app, X_Api_Key=made["key"]) == 401
    async with caller(app) as client:
        assert (await client.delete(f"/api-keys/{made['id']}")).json() == revoked.json()
        assert (await client.delete(f"/api-keys/{ID}")).status_code == 404


async def test_an_expired_key_is_refused(app: FastAPI) -> None:
    made = await make_key(app, expires_in_days=1)
    database = app.state.runtime.database
    async with database.across() as unit:
        await unit.connection.exec_driver_sql("UPDATE app_clock SET offset_by = interval '2 days'")
    assert await status(app, X_Api_Key=made["key"]) == 401


async def test_keys_are_listed_without_their_secrets_and_note_their_use(app: FastAPI) -> None:
    made = await make_key(app, name="ci", scopes=["keys:manage"])
    async with caller(app, X_Api_Key=made["key"]) as client:
        listed = (await client.get("/api-keys")).json()["data"]
    assert [key["name"] for key in listed] == ["ci"]
    assert listed[0]["prefix"] == made["key"].rsplit("_", 2)[0]
    assert listed[0]["last_used_at"] is not None
    secret = made["key"].split("_")[2]
    assert secret not in str(listed)


SCOPED = [
    ("GET", "/conversations", "conversations:read"),
    ("POST", "/conversations", "conversations:write"),
    ("GET", "/tasks", "tasks:read"),
    ("POST", "/tasks", "tasks:write"),
    ("POST", f"/tasks/{ID}/execute", "tasks:run"),
    ("GET", "/runs", "runs:read"),
    ("POST", f"/runs/{ID}/cancel", "runs:cancel"),
    ("GET", "/approvals", "approvals:read"),
    ("POST", f"/approvals/{ID}/decision", "approvals:decide"),
    ("GET", "/connections", "connections:manage"),
    ("POST", "/connections/google/start", "connections:manage"),
    ("POST", "/agents", "agents:write"),
    ("GET", "/api-keys", "keys:manage"),
]


async def test_a_missing_scope_is_named(app: FastAPI) -> None:
    for method, path, scope in SCOPED:
        made = await make_key(app, scopes=[name for name in SCOPES if name != scope])
        async with caller(app, X_Api_Key=made["key"]) as client:
            # The scope is looked at before the body: this one could not be read.
            answer = await client.request(method, path, content=b"{" if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
        assert answer.json()["required_scope"] == scope


async def test_a_key_cannot_make_a_key_that_holds_more(app: FastAPI) -> None:
    made = await make_key(app, scopes=["keys:manage", "runs:read"])
    async with caller(app, X_Api_Key=made["key"]) as client:
        refused = await client.post("/api-keys", json={"name": "more", "scopes": ["tasks:run"]})
        plain = await client.post("/api-keys", json={"name": "same"})
        other = await client.post("/api-keys", json={"name": "other", "user_id": "ada"})
    assert refused.status_code == 403
    assert refused.json()["required_scope"] == "tasks:run"
    assert plain.json()["scopes"] == ["runs:read"]
    assert other.status_code == 403


async def test_a_repeated_request_makes_no_second_key_and_shows_no_secret(app: FastAPI) -> None:
    async with caller(app, Idempotency_Key="once") as client:
        first = await client.post("/api-keys", json={"name": "ci"})
        again = await client.post("/api-keys", json={"name": "ci"})
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == {**first.json(), "key": None}


async def test_pages_of_listed_origins_may_ask_with_a_key(settings: Settings) -> None:
    server = settings.server.model_copy(update={"cors_origins": ("https://console.example",)})
    app = create_app(settings.model_copy(update={"server": server}))
    async with app.router.lifespan_context(app):
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
        for origin, allowed in (("https://console.example", True), ("https://evil.example", False)):
            async with caller(app, Origin=origin) as client:
                answer = await client.options("/conversations", headers=asked)
                assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
                assert (await client.get("/conversations")).status_code == 401


async def test_acting_for_another_user_needs_its_scope(app: FastAPI) -> None:
    plain = await make_key(app)
    acting = await make_key(app, scopes=["conversations:write", "conversations:read", "users:act_as"])
    bound = await make_key(app, user_id="ada", scopes=["conversations:write", "conversations:read", "users:act_as"])
    wanted = {"user_id": "bob"}
    async with caller(app, X_Api_Key=plain["key"]) as client:
        assert (await client.post("/conversations", json=wanted)).json()["required_scope"] == "users:act_as"
        assert (await client.post("/conversations", json={"user_id": "owner"})).status_code == 201
    async with caller(app, X_Api_Key=acting["key"]) as client:
        bobs = await client.post("/conversations", json=wanted)
        assert bobs.status_code == 201
        assert bobs.json()["user_id"] == "bob"
    async with caller(app, X_Api_Key=bound["key"]) as client:
        refused = await client.post("/conversations", json=wanted)
        assert (refused.status_code, refused.json()["code"]) == (403, "user_bound_key")
        hers = await client.post("/conversations", json={"user_id": "ada"})
        assert hers.status_code == 201
        listed = (await client.get("/conversations")).json()["data"]
        assert [item["id"] for item in listed] == [hers.json()["id"]]
        assert (await client.get("/conversations", params={"user_id": "bob"})).json()["data"] == []
        assert (await client.get(f"/conversations/{bobs.json()['id']}")).status_code == 404


async def test_production_knows_no_owner_at_the_machine(production: FastAPI) -> None:
    for path in ("/conversations", "/info", "/metrics"):
        assert await status(production, path) == 401
    for path in ("/health/live", "/health/ready", "/docs", "/openapi.json"):
        assert await status(production, path, peer="192.0.2.7", host="agents.example") == 200
    runtime = production.state.runtime
    issued = await keys.bootstrap(runtime.database, runtime.peppers[0])
    assert issued is not None
    assert await keys.bootstrap(runtime.database, runtime.peppers[0]) is None
    assert await status(production, peer="192.0.2.7", host="agents.example", X_Api_Key=issued.token) == 200
