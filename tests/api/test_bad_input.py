"""What no door lets in, over a real socket: every answer is a problem document, none is a 5xx."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from support.serving import Raw, request, send, serving

from app.config import Settings
from app.main import create_app

JSON = "Content-Type: application/json"
ID = "0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11"


@pytest.fixture
async def port(settings: Settings) -> AsyncGenerator[int]:
    async with serving(create_app(settings)) as opened:
        yield opened


def checked(answer: Raw, status: int, code: str | None = None) -> dict[str, object]:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["type"] == f"urn:sixlane:problem:{problem['code']}"
    assert "Traceback" not in answer.body.decode()
    if code is not None:
        assert problem["code"] == code
    return problem


async def test_bodies_that_are_refused(port: int) -> None:
    for body, status in (
        (b"{", 400),
        (b"\xef\xbb\xbf{}", 400),
        (b'{"title":"a","title":"b"}', 422),
        (b'{"context_data":{"n":NaN}}', 422),
        (b'{"context_data":{"n":1e999}}', 422),
        (b'{"context_data":{"n":9223372036854775808}}', 422),
        (b'{"title":"\\u0000"}', 422),
        (b'{"title":"\\ud800"}', 422),
        (b'{"context_data":' + b"[" * 900 + b"]" * 900 + b"}", 422),
        (b'{"workspace_id":"x"}', 422),
        (b'{"status":"completed"}', 422),
        (b'{"created_by":"me"}', 422),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b"", 422),
    ):
        answer = await send(port, request("POST", "/conversations", JSON, body=body))
        checked(answer, status)


async def test_a_wrong_field_is_named_and_its_value_is_not_repeated(port: int) -> None:
    answer = await send(port, request("POST", "/conversations", JSON, body=b'{"title":{"secret":"hunter2"}}'))
    problem = checked(answer, 422, "invalid_input")
    assert problem["errors"] == [{"loc": "body.title", "msg": "Input should be a valid string", "type": "string_type"}]
    assert "hunter2" not in answer.body.decode()


async def test_types_and_encodings_that_are_not_plain_json(port: int) -> None:
    for headers in (
        (),
        ("Content-Type: text/plain",),
        ("Content-Type: multipart/form-data; boundary=x",),
        ("Content-Type: application/x-www-form-urlencoded",),
        ("Content-Type: application/json; charset=utf-16",),
        ("Content-Type: application/json", "Content-Type: text/plain"),
        (JSON, "Content-Encoding: gzip"),
    ):
        checked(await send(port, request("POST", "/conversations", *headers, body=b"{}")), 415)
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"):
        answer = await send(port, request("POST", "/conversations", f"Content-Type: {kind}", body=b"{}"))
        assert answer.status == 201, answer


async def test_bodies_that_are_too_large_are_cut_off(port: int) -> None:
    announced = request("POST", "/conversations", JSON, "Content-Length: 104857600", body=b"{")
    checked(await send(port, announced), 413)
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    streamed = request("POST", "/conversations", JSON, "Transfer-Encoding: chunked", body=chunk * 40 + b"0\r\n\r\n")
    checked(await send(port, streamed), 413)


async def test_who_sends_a_little_too_much_sees_the_answer(port: int) -> None:
    """A connection that is closed on unread bytes is reset: then the answer would be lost on the way."""
    sent = request("POST", "/conversations", "Content-Type: application/json", body=b"x" * 1_200_000)
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for start in range(0, len(sent), 50_000):
            writer.write(sent[start : start + 50_000])
            await writer.drain()
        assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
        writer.close()


async def test_hostile_bytes_in_addresses_and_headers(port: int) -> None:
    for target in (
        "/conversations/%00",
        f"/conversations/{ID}%00",
        "/tasks?status=%00",
        "/tasks?after=%ED%A0%80",
        "/tasks/%ED%A0%80",
        "/agents/%ff",
        "/runs?user_id=a%00b",
    ):
        checked(await send(port, request("GET", target)), 422)
    answer = await send(port, request("GET", "/info", "X-Odd: a\x00b"))
    assert 400 <= answer.status < 500
    for header in ("Idempotency-Key: \xff", "Idempotency-Key:  ", f"Idempotency-Key: {'k' * 256}"):
        checked(await send(port, request("POST", "/conversations", JSON, header, body=b"{}")), 422)


async def test_ids_that_are_none_and_pages_that_are_none(port: int) -> None:
    for target in ("/conversations/x", f"/runs/{ID}", "/tasks/1", "/approvals/null", "/agents/nobody", "/nowhere"):
        checked(await send(port, request("GET", target)), 404)
    checked(await send(port, request("PUT", "/conversations")), 405)
    for query in ("limit=0", "limit=-1", "limit=201", "limit=x", "after=xyz", "after=AAAA", "unknown=1", "limit=1e3"):
        for path in ("conversations", "tasks", "runs", "approvals", "api-keys"):
            checked(await send(port, request("GET", f"/{path}?{query}")), 422)


async def test_request_ids_are_taken_and_returned_when_they_are_harmless(port: int) -> None:
    for given, kept in (("abc-123", True), ("a" * 128, True), ("a" * 129, False), ("<script>", False), ("a b", False)):
        answer = await send(port, request("GET", "/health/live", f"X-Request-ID: {given}"))
        assert answer.status == 200
        assert (answer.headers["x-request-id"] == given) is kept
        assert answer.headers["x-content-type-options"] == "nosniff"
