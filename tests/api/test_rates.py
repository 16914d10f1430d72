"""Rate limits: on every route in production, shared by processes, and still there while Valkey is not."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from conftest import test_settings
from fastapi import FastAPI
from support.fleet import theatre
from support.valkey import own_valkey
from support.webhook_signing import standard

from app.api.callers import client_network
from app.api.deps import Keyless
from app.api.route import mark_of
from app.api.routers import routes
from app.config import InvalidSettings, load_settings
from app.integrations.rates import RateLimiter
from app.main import create_app
from app.models.identity import SCOPES
from app.services import keys, users

PRODUCTION = {
    "SIXLANE_ENV": "production",
    "PUBLIC_URL": "https://agents.example",
    "SIXLANE_KEYS": "k1:" + "A" * 43 + "=",
    "DEFAULT_MODEL": "demo",
}
TOLD = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")
ID = "0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11"


def caller(app: FastAPI, key: str | None = None, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.7", 5000))
    given = headers | ({"Authorization": f"Bearer {key}"} if key else {})
    return httpx.AsyncClient(transport=transport, base_url="http://agents.example", headers=given, timeout=30)


@asynccontextmanager
async def opened(database_url: str, redis_url: str, data: Path, **variables: str) -> AsyncGenerator[FastAPI]:
    app = create_app(test_settings(database_url, redis_url, data, **PRODUCTION, **variables))
    async with app.router.lifespan_context(app):
        yield app


async def issue(app: FastAPI, name: str = "owner") -> str:
    """A key that may do everything, of a user of that name."""
    runtime = app.state.runtime
    owner = await users.local_owner(runtime.database)
    async with runtime.database.begin(owner.workspace_id) as unit:
        user = await unit.users.see(name)
        return (await keys.issue(unit, runtime.peppers[0], name=name, user_id=user.id, scopes=SCOPES)).token


def doors() -> list[tuple[str, str, bool]]:
    """Every route's method, an address of it, and whether it is free: the probes are."""
    found: list[tuple[str, str, bool]] = []
    for route in routes():
        path = route.path
        for name in route.param_convertors:
            path = path.replace("{" + name + "}", ID)
        found += [(method, path, path.startswith("/health/")) for method in sorted(route.methods or ())]
    return found


async def test_every_route_is_limited_in_production(database_url: str, redis_url: str, tmp_path: Path) -> None:
    rates = {"SIXLANE_RATE_PER_USER": "1/hour", "SIXLANE_RATE_PER_ADDRESS": "1/hour"}
    async with opened(database_url, redis_url, tmp_path, **rates) as app:
        for key in (await issue(app), None):
            async with caller(app, key) as client:
                first = await client.get("/conversations")
                assert first.status_code == (200 if key else 401)
                assert [first.headers[name] for name in TOLD] == ["1", "0", "3600"]
                for method, path, free in doors():
                    if key and not free and looks_at_no_key(method, path):
                        continue
                    answer = await client.request(method, path)
                    if free:
                        assert (answer.status_code, "ratelimit-limit" in answer.headers) == (200, False)
                        continue
                    where = f"{method} {path} {'with' if key else 'without'} a key"
                    assert answer.status_code == 429, f"{where}: {answer.status_code}"
                    problem = answer.json()
                    if path.startswith("/v1/"):
                        assert problem["error"]["code"] == "rate_limited", where
                        continue
                    assert (problem["code"], problem["limit"]) == ("rate_limited", "user" if key else "address"), where
                    assert 0 < int(answer.headers["retry-after"]) <= 3600, where
                    assert answer.headers["ratelimit-remaining"] == "0", where


def looks_at_no_key(method: str, path: str) -> bool:
    """Whether a door counts for the sender's address or its own object, whatever key comes along."""
    for route in routes():
        if method in (route.methods or ()) and route.path_regex.match(path):
            return isinstance(mark_of(route.dependant), Keyless)
    return False


async def test_good_answers_and_refusals_tell_where_the_caller_stands(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    rates = {"SIXLANE_RATE_PER_KEY": "3/minute", "SIXLANE_RATE_PER_USER": "4/minute"}
    async with opened(database_url, redis_url, tmp_path, **rates) as app:
        async with caller(app, await issue(app, "ada")) as client:
            seen = [await client.get("/conversations") for _ in range(4)]
            told = [(answer.status_code, answer.headers["ratelimit-remaining"]) for answer in seen]
            assert told == [(200, "2"), (200, "1"), (200, "0"), (429, "0")]
            assert seen[3].json()["limit"] == "key"
            assert "3 requests in a minute with this key" in seen[3].json()["detail"]
        async with caller(app, await issue(app, "ada")) as client:  # another key of the same person
            assert (await client.get("/conversations")).json()["limit"] == "user"
        async with caller(app, await issue(app, "bob")) as client:  # and another person
            missing = await client.get(f"/tasks/{ID}")
            assert (missing.status_code, missing.headers["ratelimit-remaining"]) == (404, "2")


async def test_guessing_keys_is_limited_and_good_keys_of_the_same_address_go_on(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with opened(database_url, redis_url, tmp_path, SIXLANE_RATE_PER_ADDRESS="5/minute") as app:
        good, fresh = await issue(app), await issue(app)
        async with caller(app, good) as client, caller(app) as guesser:
            assert (await client.get("/conversations")).status_code == 200
            guesses = ("sl_a_b_c", good[:-1] + "x", good.replace("sl_", "xx_"), "", "é", "Basic", good[:40])
            answers = [
                await guesser.get("/conversations", headers=[(b"authorization", f"Bearer {guess}".encode())])
                for guess in guesses
            ]
            assert [one.status_code for one in answers] == [401] * 5 + [429] * 2
            assert answers[-1].json()["limit"] == "address"
            assert (await client.get("/conversations")).status_code == 200
            # Not even the right key is looked at now: it could be the next guess.
            assert (
                await guesser.get("/conversations", headers={"Authorization": f"Bearer {fresh}"})
            ).status_code == 429


async def test_a_trigger_has_its_own_limit_and_bad_signatures_do_not_use_it_up(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    rates = {"SIXLANE_RATE_PER_TRIGGER": "2/hour", "SIXLANE_RATE_PER_ADDRESS": "3/hour"}
    async with opened(database_url, redis_url, tmp_path, **rates) as app:
        async with caller(app, await issue(app)) as client:
            order = {"task_type": "triggered", "prompt": "Look", "trigger_config": {}}
            made = [(await client.post("/tasks", json=order)).json() for _ in range(2)]

        async def post(task: dict[str, Any], event: str, *, good: bool = True) -> tuple[int, str | None]:
            body = b"{}" if good else b"forged"
            headers = standard(b"{}", secret=task["webhook_secret"], at=int(time.time()), event=event)
            async with caller(app) as sender:
                answer = await sender.post(f"/tasks/webhooks/{task['id']}", content=body, headers=headers)
            return answer.status_code, answer.json().get("limit")

        forged = [await post(made[0], "1", good=False) for _ in range(5)]
        assert forged == [(401, None)] * 3 + [(429, "address")] * 2
        assert [await post(made[0], event) for event in "123"] == [(202, None), (202, None), (429, "trigger")]
        assert await post(made[1], "1") == (202, None)


async def test_local_mode_has_no_limits_unless_it_is_told(client: httpx.AsyncClient, redis_url: str) -> None:
    assert not set(TOLD) & set((await client.get("/conversations")).headers)
    assert load_settings(environ={}, files=[]).rates.mode == "auto"


async def test_two_processes_share_one_limit(database_url: str, redis_url: str, tmp_path: Path) -> None:
    rates = {"SIXLANE_RATE_LIMITS": "on", "SIXLANE_RATE_PER_USER": "60/hour"}
    async with theatre(database_url, redis_url, tmp_path, **rates) as world:
        here, there = await asyncio.gather(world.fleet.start("api"), world.fleet.start("api"))
        async with httpx.AsyncClient(timeout=10) as http:

            async def ask(url: str) -> httpx.Response:
                return await http.get(f"{url}/conversations")

            answers = await asyncio.gather(*(ask(one.url) for _ in range(50) for one in (here, there)))
            assert Counter(one.status_code for one in answers) == {200: 60, 429: 40}
            left = sorted(int(one.headers["ratelimit-remaining"]) for one in answers if one.status_code == 200)
            assert left == list(range(60)), "each request was counted once, in one place"


async def test_without_valkey_each_process_limits_for_itself_and_nobody_waits(
    database_url: str, tmp_path: Path
) -> None:
    async with (
        own_valkey() as valkey,
        opened(database_url, valkey.url, tmp_path, SIXLANE_RATE_PER_USER="10/hour") as app,
        caller(app, await issue(app)) as client,
    ):
        limiter: RateLimiter = app.state.rate_limiter

        async def ask(times: int) -> list[int]:
            found: list[int] = []
            for _ in range(times):
                began = time.monotonic()
                found.append((await client.get("/conversations")).status_code)
                assert time.monotonic() - began < 1
            return found

        assert await ask(4) == [200] * 4
        assert limiter.shared
        valkey.freeze()
        assert await ask(3) == [200] * 3
        assert not limiter.shared
        valkey.thaw()
        valkey.stop()
        assert await ask(9) == [200] * 7 + [429] * 2, "ten in all without Valkey, counted here"
        valkey.start()
        async with asyncio.timeout(10):
            while not limiter.shared:
                await client.get("/conversations")
                await asyncio.sleep(0.05)
        assert (await ask(1)) == [200], "its counters were lost with it"


async def test_one_round_trip_counts_all_limits_of_all_who_wait(redis_url: str) -> None:
    limits = {"key": "5/minute", "user": "30/second", "trigger": "9/hour"}
    async with contextlib.aclosing(RateLimiter(redis_url, limits)) as limiter, asyncio.TaskGroup() as group:
        serving = group.create_task(limiter.serve())
        while not limiter.shared:
            await asyncio.sleep(0.01)
        client, sent = limiter._redis, Counter[str]()
        known = client.execute_command

        async def counting(*command: object, **options: object) -> object:
            sent[str(command[0])] += 1
            return await known(*command, **options)

        client.execute_command = counting
        callers = [[(kind, f"{uuid4().hex}") for kind in limits] for _ in range(20)]
        told = await asyncio.gather(*(limiter.count(*who) for who in callers))
        assert sent == {"EVALSHA": 1}
        assert {(one.kind, one.remaining) for one in told} == {("key", 4)}
        await client.script_flush()  # as after a restart
        assert (await limiter.count(callers[0][2])).remaining == 7
        serving.cancel()


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.0.0.5", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.5", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.5", "198.51.100.1, 203.0.113.9, 10.0.0.6", "203.0.113.9"),
        ("10.0.0.5", "", "10.0.0.5"),
        ("10.0.0.5", "nonsense", "10.0.0.5"),
        ("192.0.2.7", "203.0.113.9", "192.0.2.7"),
        ("::ffff:192.0.2.7", "", "192.0.2.7"),
        ("10.0.0.5", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("10.0.0.5", ",".join(["10.0.0.9"] * 500), "10.0.0.9"),
        ("", "203.0.113.9", "unknown"),
    ],
)
def test_the_sender_is_whom_a_trusted_proxy_names(peer: str, forwarded: str, expected: str) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"type": "http", "client": (peer, 1), "headers": headers}
    assert client_network(scope, ("10.0.0.0/8",)) == expected
    assert client_network({**scope, "client": ("192.0.2.7", 1)}, ()) == "192.0.2.7"


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="SIXLANE_TRUSTED_PROXIES"):
        load_settings(environ={"SIXLANE_TRUSTED_PROXIES": "10.0.0.0/8,everybody"}, files=[])
