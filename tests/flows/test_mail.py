"""Mail to a real server with STARTTLS and a password: what arrives, what is for later, and what nobody can know."""

import base64
import ssl
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.certificates import certificate
from support.far_inbox import MailRoom, mail_server
from support.loopback import free_port
from support.notices import BASE, Room, another, means_of, open_room

from app.database.connection import Database
from app.integrations.smtp import MailServer

CONFIG = {"channels": ["email"], "email_address": "user@example.com"}


@pytest.fixture
def mails(tmp_path: Path) -> Iterator[MailRoom]:
    cert, key = certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with mail_server(MailRoom(), context) as room:
        yield room


def server(mails: MailRoom, tmp_path: Path, **more: Any) -> MailServer:
    values: dict[str, Any] = {
        "host": "localhost",
        "port": mails.port,
        "username": "sixlane",
        "password": "open sesame",
        "tls_mode": "starttls",
        "ca_file": tmp_path / "cert.pem",
        "seconds": 5.0,
    }
    return MailServer(**{**values, **more})


@pytest.fixture
async def room(database: Database, mails: MailRoom, tmp_path: Path) -> AsyncGenerator[Room]:
    async with open_room(database, means_of(mail=server(mails, tmp_path))) as opened:
        yield opened


async def state(room: Room) -> tuple[str, str | None]:
    row = (await room.rows())[-1]
    return row.status, row.status_reason


async def test_a_mail_has_text_and_html_of_one_source_and_an_envelope_of_one_address(
    room: Room, mails: MailRoom
) -> None:
    task = await room.task(CONFIG)
    text = "# Wie geht's\n\n**Überall** grün. <script>x()</script> ![spy](https://evil.example/p)\n\n| a |\n|-|\n| 1 |"
    await room.tell(task, text=text)
    await room.deliver()
    row, (mail,), (envelope,) = await room.row(), mails.mails, mails.taken
    assert (row.status, row.attempts) == ("sent", 1)
    assert (envelope.mail_from, envelope.rcpt_tos) == ("robot@sixlane.example", ["user@example.com"])
    assert (mail["Subject"], mail["To"]) == ("Morning report: done", "user@example.com")
    assert mail["From"] == "Sixlane <robot@sixlane.example>"
    assert mail["Message-ID"] == f"<{row.id}@sixlane.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "multipart/alternative"
    plain, html = (part.get_content() for part in mail.iter_parts())
    assert text.splitlines()[0] in plain
    assert f"{BASE}/runs/" in plain
    assert "<strong" in html
    assert "<td" in html
    assert "<script" not in html
    assert "<img" not in html
    assert 'style="' in html


async def test_what_would_break_out_of_a_header_stays_on_its_line(room: Room, mails: MailRoom) -> None:
    title = "Hello\r\nBcc: evil@example.com\x0b\u2028X: y" + "é" * 400
    await room.tell(await room.task(CONFIG, title=title))
    await room.deliver()
    (mail,), (envelope,) = mails.mails, mails.taken
    assert mail["Bcc"] is None
    assert mail["X"] is None
    assert envelope.rcpt_tos == ["user@example.com"]
    assert mail["Subject"].startswith("Hello Bcc: evil@example.com X: y")
    assert len(mail["Subject"]) == 200


@pytest.mark.parametrize(
    "address",
    [
        "a@example.com, evil@example.com",
        "Friend <evil@example.com>",
        "a@example.com\r\nBcc: evil@example.com",
        "group: a@example.com;",
        "=?utf-8?q?a?=@example.com",
        "a@[127.0.0.1]",
        "a\u200b@example.com",
        '"a b"@example.com',
        "",
    ],
)
async def test_what_is_no_bare_address_is_refused_at_the_send_too(room: Room, mails: MailRoom, address: str) -> None:
    await room.tell(await room.task(CONFIG))
    async with room.database.begin(room.owner.workspace_id) as unit:
        await unit.connection.exec_driver_sql(
            "UPDATE deliveries SET target = jsonb_build_object('to', $1::text, 'place', 'smtp')", (address,)
        )
    await room.deliver()
    assert await state(room) == ("failed", "invalid_address")
    assert mails.taken == []


async def test_4xx_is_for_later_and_550_for_good(room: Room, mails: MailRoom) -> None:
    task = await room.task(CONFIG)
    mails.script = ["451 greylisted"]
    await room.tell(task)
    await room.deliver()
    assert await state(room) == ("pending", "mail_deferred")
    await room.later(10)
    await room.deliver()
    assert await state(room) == ("sent", None)
    assert [attempt.code for attempt in await room.attempts((await room.row()).id)] == ["451", "250"]

    mails.refused_recipients = {"user@example.com": "550 no such user"}
    await room.tell(task)
    await room.deliver()
    assert await state(room) == ("failed", "mail_refused")
    await room.later(86_400)
    await room.deliver()
    assert len(mails.taken) == 1


async def test_a_line_cut_after_the_mail_was_taken_is_unknown_until_a_person_sends_it_again(
    room: Room, mails: MailRoom
) -> None:
    mails.script = [None]
    await room.tell(await room.task(CONFIG))
    await room.deliver()
    await room.later(86_400)
    await room.deliver()
    assert await state(room) == ("unknown", "no_answer")
    assert len(mails.taken) == 1
    await room.resend((await room.row()).id)
    await room.deliver()
    assert [row.status for row in await room.rows()] == ["unknown", "sent"]
    first, second = mails.mails
    assert first["Message-ID"] == second["Message-ID"]


async def test_a_certificate_that_nobody_vouches_for_is_a_clear_end(
    room: Room, mails: MailRoom, tmp_path: Path
) -> None:
    strict = another(room, means_of(mail=server(mails, tmp_path, ca_file=None)))
    await room.tell(await room.task(CONFIG))
    await strict.deliver()
    row = await room.row()
    assert (row.status, row.status_reason) == ("failed", "tls_untrusted")
    assert "SMTP_TLS_CA_FILE" in (row.status_detail or "")
    assert mails.taken == []


async def test_a_wrong_password_is_an_end_that_names_itself(room: Room, mails: MailRoom, tmp_path: Path) -> None:
    wrong = another(room, means_of(mail=server(mails, tmp_path, password="guess")))
    await room.tell(await room.task(CONFIG))
    await wrong.deliver()
    row = await room.row()
    assert (row.status, row.status_reason) == ("failed", "mail_refused")
    assert "535" in (row.status_detail or "")


async def test_a_server_without_starttls_is_not_sent_a_password(room: Room, tmp_path: Path) -> None:
    with mail_server(MailRoom()) as plain:
        wanting = another(room, means_of(mail=server(plain, tmp_path)))
        await room.tell(await room.task(CONFIG))
        await wanting.deliver()
    row = await room.row()
    assert (row.status, row.status_reason) == ("failed", "tls_not_offered")
    assert plain.taken == []


async def test_a_mail_server_that_is_away_for_an_hour_gets_each_mail_once(room: Room, tmp_path: Path) -> None:
    port = free_port()
    away = MailRoom(port=port)
    settings = server(away, tmp_path, tls_mode="none", username=None, password=None)
    waiting = another(room, means_of(mail=settings))
    task = await room.task(CONFIG)
    runs = [await room.tell(task) for _ in range(10)]
    for wait in (0, 10, 400, 2400):
        await room.later(wait)
        await waiting.deliver()
    assert {(row.status, row.status_reason) for row in await room.rows()} == {("pending", "unreachable")}
    with mail_server(away, port=port):
        await room.later(3 * 3600)
        await waiting.deliver()
    assert {row.status for row in await room.rows()} == {"sent"}
    ids = [mail["Message-ID"] for mail in away.mails]
    assert (len(ids), len(set(ids))) == (len(runs), len(runs))


async def test_a_sender_must_be_named(room: Room, mails: MailRoom, tmp_path: Path) -> None:
    nobody = another(room, means_of(mail=server(mails, tmp_path), mail_from=""))
    await room.tell(await room.task(CONFIG))
    await nobody.deliver()
    row = await room.row()
    assert (row.status, row.status_reason) == ("failed", "no_sender")


async def test_the_task_s_own_words_are_filled_in_once_and_never_executed(room: Room, mails: MailRoom) -> None:
    words = {"subject": "{{status}} {{7*7}} ${x}", "body": "{{ result }} {0.__class__} {{nobody}} {% raw %} {{title}}"}
    task = await room.task({**CONFIG, "templates": {"email": words}}, title="{{result}}")
    await room.tell(task, text="see {{url}}")
    await room.deliver()
    (mail,) = mails.mails
    assert mail["Subject"] == "completed {{7*7}} ${x}"
    body = base64.b64decode(str(next(mail.iter_parts()).get_payload())).decode()
    assert body.strip() == "see {{url}} {0.__class__} {{nobody}} {% raw %} {{result}}"
