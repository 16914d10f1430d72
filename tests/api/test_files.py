"""Files: uploads in both forms, what is refused and why, what is given out, and to whom."""

import asyncio
import hashlib
import json

import httpx
from fastapi import FastAPI
from support.serving import request, send, serving

from app.config import Settings, load_settings
from app.main import create_app

TEXT = "Grüße,\nzweite Zeile\n".encode()


async def upload(client: httpx.AsyncClient, data: bytes = TEXT, name: str = "notes.txt", **more: str) -> httpx.Response:
    return await client.post("/files", files={"file": (name, data)}, params=more or None)


async def test_a_file_comes_back_as_it_went_in(client: httpx.AsyncClient) -> None:
    data = b"line of text\n" * 60_000
    made = await upload(client, data, "C:\\letters\\Über\u202emich.md")
    assert made.status_code == 201, made.text
    shown = made.json()
    assert (shown["name"], shown["media_type"], shown["size"]) == ("Übermich.md", "text/markdown", len(data))
    assert shown["sha256"] == hashlib.sha256(data).hexdigest()
    assert made.headers["location"] == f"/files/{shown['id']}"
    assert (await client.get(f"/files/{shown['id']}")).json() == shown

    content = await client.get(shown["content_url"])
    assert content.content == data
    assert content.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%9Cbermich.md"
    assert content.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in content.headers["content-security-policy"]

    assert [row["id"] for row in (await client.get("/files")).json()["data"]] == [shown["id"]]
    assert (await client.delete(f"/files/{shown['id']}")).status_code == 204
    assert (await client.get(shown["content_url"])).json()["code"] == "file_not_found"
    assert (await client.delete(f"/files/{shown['id']}")).status_code == 404


async def test_a_file_may_be_the_whole_body_and_is_known_by_its_content(client: httpx.AsyncClient) -> None:
    pdf = b"%PDF-1.7\n" + bytes(range(256))
    made = await client.post("/files", content=pdf, params={"name": "photo.png"}, headers={"Content-Type": "image/png"})
    assert (made.status_code, made.json()["media_type"], made.json()["name"]) == (201, "application/pdf", "photo.png")
    page = await upload(client, b"<!doctype html><script>x</script>", "a.txt")
    assert page.json()["media_type"] == "text/html"


async def test_what_is_no_file_is_refused_with_its_reason(client: httpx.AsyncClient) -> None:
    program = await upload(client, b"MZ\x90\x00" + bytes(400), "letter.docx")
    assert (program.status_code, program.json()["code"]) == (415, "unsupported_file_type")
    assert "PDF, Docx, HTML" in program.json()["detail"]
    empty = await upload(client, b"")
    assert (empty.status_code, empty.json()["code"]) == (422, "file_empty")
    other = await client.post("/files", files={"upload": ("a.txt", TEXT)})
    assert (other.status_code, other.json()["code"]) == (422, "invalid_form")
    two = await client.post("/files", files=[("file", ("a.txt", TEXT)), ("file", ("b.txt", TEXT))])
    assert (two.status_code, two.json()["code"]) == (400, "invalid_form")
    for broken in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = await client.post("/files", content=b"--y\r\n", headers={"Content-Type": broken})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_form")
    packed = await client.post("/files", content=TEXT, headers={"Content-Encoding": "gzip"})
    assert packed.status_code == 415


async def test_the_same_key_uploads_once(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "upload-1"}
    first = await client.post("/files", content=TEXT, headers=key)
    again = await client.post("/files", content=TEXT, headers=key)
    other = await client.post("/files", content=TEXT + b"!", headers=key)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_large_file_is_refused_before_it_is_read(settings: Settings) -> None:
    async with serving(create_app(settings)) as port:
        announced = request("POST", "/files", f"Content-Length: {200_000_000}", body=b"x" * 65_536)
        answer = await send(port, announced)
        assert (answer.status, json.loads(answer.body)["code"]) == (413, "file_too_large")
        assert json.loads(answer.body)["max_bytes"] == 25_000_000
        part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n' + b"x" * 65_536
        form = request("POST", "/files", "Content-Type: multipart/form-data; boundary=b", "Content-Length: 200000000")
        assert (await send(port, form + part)).status == 413


async def test_limits_hold_for_what_nobody_announced_and_for_all_files_of_a_user(
    settings: Settings, database_url: str, redis_url: str
) -> None:
    environ = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SIXLANE_DATA": str(settings.data),
        "SIXLANE_FILE_MAX_MB": "1",
        "SIXLANE_FILE_QUOTA_MB": "2",
    }
    app = create_app(load_settings(environ=environ, files=[]))
    async with serving(app) as port:
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        streamed = request("POST", "/files", "Transfer-Encoding: chunked", body=chunk * 40 + b"0\r\n\r\n")
        assert (await send(port, streamed)).status == 413
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            bodies = [b"x" * 700_000 for _ in range(5)]
            answers = await asyncio.gather(*(client.post("/files", content=body) for body in bodies))
            assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]
            full = next(answer for answer in answers if answer.status_code == 409).json()
            assert (full["code"], full["used"], full["quota"]) == ("file_quota_exceeded", 1_400_000, 2_000_000)
            other = await client.post("/files", content=bodies[0], params={"user_id": "somebody else"})
            assert other.status_code == 201


async def test_files_need_their_scopes_and_are_seen_by_their_user(app: FastAPI, client: httpx.AsyncClient) -> None:
    mine = (await upload(client)).json()
    transport = httpx.ASGITransport(app)
    for scopes, status in ((["files:read"], 403), (["files:read", "files:write"], 201)):
        body = {"name": "k", "scopes": scopes, "user_id": "ada"}
        key = (await client.post("/api-keys", json=body)).json()
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers={"X-Api-Key": key["key"]}
        ) as ada:
            assert (await upload(ada)).status_code == status
            assert (await ada.get(f"/files/{mine['id']}")).status_code == 404
            assert mine["id"] not in (await ada.get("/files")).text
