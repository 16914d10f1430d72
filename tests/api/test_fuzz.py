"""Requests made up from the OpenAPI document: no 5xx, and every answer is one that the document declares."""

import asyncio
from typing import Any, cast

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.serving import serving

from app.config import Settings
from app.main import create_app

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 25


async def real_objects(base: str) -> dict[str, str]:
    """One object of every noun, its runs ended, so that streams of them end."""
    async with httpx.AsyncClient(base_url=base, timeout=30) as client:
        conversation = (await client.post("/conversations", json={})).json()
        turn = await client.post(f"/conversations/{conversation['id']}/messages", json={"message": "Hello"})
        task = (await client.post("/tasks", json={"task_type": "delegation", "prompt": "Later"})).json()
        await client.post(f"/runs/{task['last_run_id']}/cancel")
        file = (await client.post("/files", content=b"Some text")).json()
        key = (await client.post("/api-keys", json={"name": "k"})).json()
    return {
        "conversation_id": conversation["id"],
        "run_id": turn.json()["run_id"],
        "task_id": task["id"],
        "key_id": key["id"],
        "file_id": file["id"],
        "name": "assistant",
    }


def fuzz(operation: Any, base: str, real: dict[str, str]) -> None:
    """Send made-up requests to one operation, about half of them to objects that are there."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(case=operation.as_strategy(), known=st.booleans())
    def once(case: Any, known: bool) -> None:
        if known and case.path_parameters:
            for name in case.path_parameters:
                case.path_parameters[name] = real.get(name, case.path_parameters[name])
        response = case.call(base_url=base, timeout=30)
        case.validate_response(response, checks=CHECKS)

    once()


async def test_made_up_requests_are_answered_as_documented(settings: Settings) -> None:
    app = create_app(settings)
    async with serving(app) as port:
        base = f"http://127.0.0.1:{port}"
        real = await real_objects(base)
        schema = await asyncio.to_thread(schemathesis.openapi.from_url, f"{base}/openapi.json", timeout=60)
        operations: list[Any] = [cast(Any, found).ok() for found in schema.get_all_operations()]
        assert len(operations) >= 27
        for operation in operations:
            await asyncio.to_thread(fuzz, operation, base, real)
