"""Webhooks over real servers: a flood with repeats at two doors, events that begin a run together, a run to its end."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support.serving import request, send, serving
from support.webhook_signing import SECRET, SIGNERS, standard

from app.config import Settings
from app.main import create_app
from app.models.identity import Principal
from app.runtime import Runtime
from app.services.firing import fire_due

UNIQUE, CONCURRENCY, SECONDS = 2_000, 16, 10
TRIGGER = {"scheme": "standard", "secret": SECRET}


@pytest.fixture
async def doors(settings: Settings) -> AsyncGenerator[list[tuple[FastAPI, int]]]:
    """Two API processes' worth of application on one ledger."""
    async with AsyncExitStack() as stack:
        apps = [create_app(settings), create_app(settings)]
        yield [(app, await stack.enter_async_context(serving(app))) for app in apps]


async def make(port: int, prompt: str = "Look at it.", **trigger: Any) -> str:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        wanted = {"task_type": "triggered", "prompt": prompt, "trigger_config": trigger}
        answer = await client.post("/tasks", json=wanted)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]


async def column(app: FastAPI, sql: str) -> list[Any]:
    async with app.state.runtime.database.across() as unit:
        return list((await unit.connection.exec_driver_sql(sql)).scalars())


def _event(task_id: str, number: int, host: str) -> bytes:
    body = json.dumps({"number": number, "text": "x" * 200}).encode()
    headers = standard(body, at=int(time.time()) - number % 200, event=f"msg_{number}")
    lines = [f"POST /tasks/webhooks/{task_id} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_a_flood_with_repeats_loses_nothing_and_doubles_nothing(doors: list[tuple[FastAPI, int]]) -> None:
    """2,000 signed events, a third of them sent again, some at once, in no order, at two doors."""
    app = doors[0][0]
    task_id = await make(doors[0][1], **TRIGGER)
    rng = random.Random(7)
    numbers = [*range(UNIQUE), *(rng.randrange(UNIQUE) for _ in range(UNIQUE // 3))]
    rng.shuffle(numbers)
    numbers += numbers[-40:]
    jobs = iter([(number, _event(task_id, number, "127.0.0.1")) for number in numbers])
    answers: list[tuple[int, int, dict[str, Any]]] = []

    async def sender(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number, raw in jobs:
            writer.write(raw)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            content = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            answers.append((number, int(head.split(b" ")[1]), json.loads(content)))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(sender(doors[place % 2][1]) for place in range(CONCURRENCY)))
    took = time.perf_counter() - began

    assert Counter(status for _, status, _ in answers) == {202: UNIQUE, 200: len(numbers) - UNIQUE}
    ids: dict[int, set[tuple[str, str]]] = {}
    for number, _, answer in answers:
        ids.setdefault(number, set()).add((answer["delivery_id"], answer["run_id"]))
    assert len(ids) == UNIQUE
    assert all(len(found) == 1 for found in ids.values())
    told = sorted(run_id for ((_, run_id),) in ids.values())
    runs = await column(app, f"SELECT id::text FROM runs WHERE task_id = '{task_id}'")
    assert sorted(runs) == told
    assert await column(app, f"SELECT count(*) FROM inbound_events WHERE task_id = '{task_id}'") == [UNIQUE]
    assert await column(app, "SELECT count(*) FROM run_events") == [UNIQUE]
    assert took < 3 * SECONDS, f"{len(numbers)} events took {took:.1f} s"


async def test_events_that_come_together_begin_one_run(settings: Settings) -> None:
    app = create_app(settings)
    async with serving(app) as port:
        database = app.state.runtime.database
        task_id = await make(port, "Sum up for {{who}}.", debounce_seconds=30, mapping={"who": "$.user"})
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for number in range(60):
                answer = await client.post(f"/tasks/webhooks/{task_id}", json={"user": f"u{number}"})
                assert (answer.status_code, answer.json()["outcome"]) == (202, "held")
                assert answer.json()["run_id"] is None
            again = await client.post(f"/tasks/webhooks/{task_id}", json={"user": "u0"})
            assert (again.status_code, again.json()["outcome"]) == (200, "held")
            fired = await fire_due(database)
            assert fired.count == 0
            assert fired.seconds is not None
            assert 25 < fired.seconds <= 30
            assert await column(app, "SELECT count(*) FROM runs") == [0]

            await column(app, "UPDATE app_clock SET offset_by = interval '31 seconds' RETURNING 1")
            await fire_due(database)
            assert (await fire_due(database)).count == 1  # more than go into one run
            prompts = await column(app, "SELECT input->>'prompt' FROM runs ORDER BY id")
            assert [text.count("<webhook_payload>") for text in prompts] == [50, 10]
            assert prompts[0].startswith("Sum up for u49.\n\nThe event 1 of 50")
            assert await column(app, "SELECT DISTINCT outcome FROM inbound_events") == ["merged"]
            assert await column(app, "SELECT count(DISTINCT run_id) FROM inbound_events") == [2]
            assert (await fire_due(database)).seconds is None

            for _ in range(12):  # ten windows at most, however many events keep coming
                await client.post(f"/tasks/webhooks/{task_id}", json={"user": f"v{time.monotonic_ns()}"})
                await column(app, "UPDATE app_clock SET offset_by = offset_by + interval '29 seconds' RETURNING 1")
                await fire_due(database)
            assert await column(app, "SELECT count(*) FROM runs") == [3]

            await client.post(f"/tasks/{task_id}/disable")
            await column(app, "UPDATE app_clock SET offset_by = offset_by + interval '10 minutes' RETURNING 1")
            await fire_due(database)
            assert await column(app, "SELECT count(*) FROM runs") == [3]
            await client.post(f"/tasks/{task_id}/enable")
            await column(app, "UPDATE app_clock SET offset_by = offset_by + interval '2 minutes' RETURNING 1")
            await fire_due(database)
            assert await column(app, "SELECT count(*) FROM runs") == [4]
            assert await column(app, "SELECT count(*) FROM inbound_events WHERE outcome = 'held'") == [0]


async def test_a_webhooks_run_comes_to_its_end(runtime: Runtime, settings: Settings, owner: Principal) -> None:
    """From the sender's request to the answer, by a worker that learns of it from the bell alone."""
    assert owner.workspace_id
    async with serving(create_app(settings)) as port:
        task_id = await make(port)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            taken = (await client.post(f"/tasks/webhooks/{task_id}", json={"event": "data_received"})).json()
            async with client.stream("GET", f"{taken['status_url']}/events") as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("event: run.completed"):
                        break
            run = (await client.get(taken["status_url"])).json()
    assert (run["status"], run["model"], run["agent"]) == ("completed", "demo", "delegate")
    assert run["agent_version"]
    assert run["result"]


_values = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=80)
_CALM = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
_headers = sorted(
    {name.lower() for signer in SIGNERS.values() for name in signer(b"", at=1)} | {"content-type", "host"}
)


async def test_no_headers_and_no_body_break_the_door(settings: Settings) -> None:
    async with serving(create_app(settings)) as port:
        tasks = [await make(port, scheme=scheme, secret=SECRET) for scheme in SIGNERS]
        loop = asyncio.get_running_loop()

        @given(
            st.sampled_from(tasks),
            st.dictionaries(st.sampled_from(_headers), _values, max_size=5),
            st.binary(max_size=200),
        )
        @hypothesis_settings(max_examples=150, deadline=None, database=None, suppress_health_check=_CALM)
        def once(task_id: str, headers: dict[str, str], body: bytes) -> None:
            headers.pop("host", None)
            lines = [f"{name}: {value}" for name, value in headers.items()]
            raw = request("POST", f"/tasks/webhooks/{task_id}", *lines, body=body)
            answer = asyncio.run_coroutine_threadsafe(send(port, raw), loop).result(20)
            assert answer.status in (400, 401, 422), (answer, headers)

        await asyncio.to_thread(once)
