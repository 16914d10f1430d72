"""Mail as text: what a person would see of it, what is dropped, and what a hostile mail costs."""

import base64
import contextlib
import time
from typing import Any

import pytest
from support.agent_context import NOON

from app.agents.mail import MailProblem, TooComplex
from app.agents.mail_message import chain_of, message_id, one_line, outgoing, read_back, written
from app.agents.mail_payload import addresses, letter_of, mail_of
from app.agents.mail_text import Clock, html_text, plain_text

HIDDEN = [
    '<p style="display:none">{}</p>',
    '<p style="DISPLAY : None !important">{}</p>',
    "<p hidden>{}</p>",
    '<p style="visibility:hidden">{}</p>',
    '<p style="opacity:0">{}</p>',
    '<p style="font-size:0px">{}</p>',
    '<p style="font-size:1px">{}</p>',
    '<p style="font:0/0 a">{}</p>',
    '<p style="font-size:0"><b style="font-size:2em">{}</b></p>',
    '<p style="color:#fff">{}</p>',
    '<p style="color:rgb(255, 255, 254)">{}</p>',
    '<p style="color:transparent">{}</p>',
    '<p style="color:rgba(0,0,0,0.01)">{}</p>',
    '<p style="color:snow">{}</p>',
    '<font color="white">{}</font>',
    '<table bgcolor="#123456"><tr><td style="color:#123456">{}</td></tr></table>',
    '<div style="background:#000"><p style="color:black">{}</p></div>',
    '<p style="max-height:0;overflow:hidden">{}</p>',
    '<p style="position:absolute;left:-9999px">{}</p>',
    '<p style="text-indent:-9999em">{}</p>',
    '<p style="mso-hide:all">{}</p>',
    '<p style="clip-path:inset(100%)">{}</p>',
    "<!-- {} -->",
    "<!--[if mso]>{}<![endif]-->",
    "<title>{}</title>",
    "<script>{}</script>",
    "<template>{}</template>",
    "<noscript>{}</noscript>",
    "<textarea>{}</textarea>",
    '<img alt="{}">',
    '<p title="{}">x</p>',
    "<style>.a{{display:none}}</style><p class='b a'>{}</p>",
    "<p class='a'>{}</p><style>.a{{display:none}}</style>",
    "<style>div #x, p.q{{display:none}}</style><p class=q>{}</p>",
    "<style>@media all{{.a{{display:none}}}}</style><p class=a>{}</p>",
    "<div style='display:none'><p>a</div><div style='display:none'><p>{}",
]
SHOWN = [
    "<p>{}</p>",
    '<p style="display:none"><p>{}</p>',
    '<div style="display:none">x</div>{}',
    '<div style="font-size:0"><span style="font-size:14px">{}</span></div>',
    '<table bgcolor="#000"><tr><td style="color:#fff">{}</td></tr></table>',
    '<div style="background:url(x.png)"><p style="color:#fff">{}</p></div>',
    "<style>@media (max-width:600px){{.a{{display:none}}}}</style><p class=a>{}</p>",
    "<style>@media print{{.a{{display:none}}}}</style><p class=a>{}</p>",
    "<style>.a .b{{color:red}}</style><p class=b>{}</p>",
    "<!-- <style>p{{display:none}}</style> --><p>{}</p>",
    '<p style="visibility:hidden"><b style="visibility:visible">{}</b></p>',
    "<table><tr><td>{}<td>b<tr><td>c</table>",
    "<ul><li>a<li>{}</ul>",
    "<!-->{}",
]


@pytest.mark.parametrize("html", HIDDEN)
def test_hidden_text_is_dropped(html: str) -> None:
    text, _ = html_text(f"<html><body><p>before</p>{html.format('SECRET')}</body></html>")
    assert "SECRET" not in text
    assert "before" in text


@pytest.mark.parametrize("html", SHOWN)
def test_shown_text_stays(html: str) -> None:
    assert "SHOWN" in html_text(f"<html><body>{html.format('SHOWN')}</body></html>")[0]


def test_the_form_of_text() -> None:
    html = "<h1>Title</h1><p>One<br>two  three</p><ul><li>a</li><li>b</li></ul><a href='https://x.example/p'>there</a>"
    assert html_text(html) == ("Title\n\nOne\ntwo three\n\n- a\n\n- b\n\nthere (https://x.example/p)", False)
    assert html_text("<a href='javascript:x()'>no</a><a href=' '>a</a>")[0] == "noa"
    assert html_text("<pre>a  b\n c</pre>")[0] == "a b\nc"


def test_characters_that_show_nothing_are_dropped() -> None:
    unseen = "\u200b\u202e\u2066\ufeff\u00ad\U000e0041\u3164\ufe0f\U000e0101\x1b"
    assert plain_text(f"a{unseen}b\r\n\r\n\r\n\r\nc  d") == "ab\n\nc d"
    assert html_text(f"<p>a{unseen}b</p>")[0] == "ab"


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 1000,
        "<a " * 300_000,
        "<" * 900_000,
        "<!--" * 200_000,
        '<a x="' * 150_000,
        "<![CDATA[" * 80_000,
        "<?" * 300_000,
        "</a " * 200_000,
        "<p>" * 200_000,
        "<b>x</b>" * 130_000,
        "</div>" * 150_000,
        "<style>" + "/*" * 300_000,
        "<style>" + "a{" * 100_000,
        "<style>" + ".a," * 60_000 + "{color:red}</style>" + "<i class=a>x</i>" * 40_000,
        "<a " + " a" * 400_000 + ">",
        "<p style='" + "color:red;" * 90_000 + "'>x</p>",
        "x" * 3_000_000,
    ],
    ids=range(17),
)
def test_a_hostile_mail_costs_what_the_clock_allows(html: str) -> None:
    began = time.thread_time()
    with contextlib.suppress(TooComplex):
        html_text(html, Clock(0.3))
    assert time.thread_time() - began < 1.0


def b64(text: str | bytes) -> str:
    return base64.urlsafe_b64encode(text if isinstance(text, bytes) else text.encode()).decode().rstrip("=")


def leaf(kind: str, text: str | bytes, **more: Any) -> dict[str, Any]:
    headers = [{"name": "Content-Type", "value": more.pop("content_type", kind)}]
    return {"mimeType": kind, "headers": headers, "body": {"data": b64(text)}, **more}


def message(payload: dict[str, Any], *headers: tuple[str, str]) -> dict[str, Any]:
    named = [{"name": name, "value": value} for name, value in headers] + list(payload.get("headers", []))
    return {"id": "m1", "threadId": "t1", "internalDate": "1763715600000", "payload": {**payload, "headers": named}}


def test_html_on_the_top_payload_without_padding() -> None:
    letter = letter_of(message(leaf("text/html", "<p>Grüße</p>"), ("From", "Ada <ada@example.com>"), ("Subject", "Hi")))
    assert (letter.text, letter.sender, letter.subject, letter.date) == (
        "Grüße",
        "Ada <ada@example.com>",
        "Hi",
        "2025-11-21T09:00:00Z",
    )


def test_of_two_forms_the_one_that_people_see() -> None:
    forms = {"mimeType": "multipart/alternative", "parts": [leaf("text/plain", "plain"), leaf("text/html", "<p>html")]}
    assert letter_of(message(forms)).text == "html"
    related = {"mimeType": "multipart/related", "parts": [leaf("text/html", "<p>html"), leaf("image/png", "x")]}
    forms = {"mimeType": "multipart/alternative", "parts": [leaf("text/plain", "plain"), related]}
    assert letter_of(message(forms)).text == "html"
    assert (
        letter_of(message({"mimeType": "multipart/alternative", "parts": [leaf("text/plain", "plain")]})).text
        == "plain"
    )
    assert letter_of(message({"mimeType": "multipart/alternative", "parts": []})).text == ""


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("iso-8859-1", "Grüße".encode("latin-1"), "Grüße"),
        ("windows-1252", b"\x80", "€"),
        ("shift_jis", "日本".encode("shift_jis"), "日本"),
        ("no-such-charset", "Grüße".encode(), "Grüße"),
        ("utf-7", b"+AGE-", "+AGE-"),
        ("idna", b"abc", "abc"),
        ("base64", b"YWJj", "YWJj"),
        ("unicode_escape", b"\\u0041", "\\u0041"),
        ("utf-8", b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_charsets(charset: str, raw: bytes, text: str) -> None:
    part = leaf("text/plain", raw, content_type=f'text/plain; charset="{charset}"')
    assert letter_of(message(part)).text == text


def test_limits_of_size_parts_and_depth() -> None:
    many = {"mimeType": "multipart/mixed", "parts": [leaf("text/plain", str(n)) for n in range(200)]}
    letter = letter_of(message(many))
    assert letter.text.split("\n\n")[-1] == "49"
    assert letter.notes == ("Only the first 50 parts were read.",)
    long = letter_of(message(leaf("text/plain", "a" * 30_000)))
    assert len(long.text) == 20_000
    assert "30000" in long.notes[0]
    with pytest.raises(TooComplex):
        letter_of(message({"mimeType": "multipart/mixed", "parts": [leaf("text/plain", "x")] * 50_000}))
    deep = leaf("text/plain", "x")
    for _ in range(1000):
        deep = {"mimeType": "multipart/mixed", "parts": [deep]}
    with pytest.raises(TooComplex):
        letter_of(message(deep))


def test_nonsense_is_read_as_nothing() -> None:
    for payload in (
        {},
        {"mimeType": 7, "parts": 3},
        {"mimeType": "text/plain", "body": {"data": "!"}},
        {"parts": [None]},
    ):
        letter_of(message(payload))  # type: ignore[arg-type]
    letter_of({"payload": None})
    mail = mail_of({"id": 5, "internalDate": "x", "payload": {"headers": [None, {"name": 1}]}})
    assert (mail.id, mail.date, mail.subject) == ("", "", "")


def test_attachments_are_named() -> None:
    parts = [
        leaf("text/plain", "a"),
        {"mimeType": "application/pdf", "filename": "bill\u202efdp.exe", "body": {"size": 7}},
    ]
    letter = letter_of(message({"mimeType": "multipart/mixed", "parts": parts}))
    assert [(a.name, a.type, a.size) for a in letter.attachments] == [("billfdp.exe", "application/pdf", 7)]


def test_headers_with_two_hundred_thousand_addresses() -> None:
    crowd = ", ".join(f"a{n}@example.com" for n in range(200_000))
    began = time.thread_time()
    found = message(leaf("text/plain", "x"), ("To", crowd), ("From", "=?utf-8?q?=41?= <a@example.com>"))
    assert letter_of(found).sender == "A <a@example.com>"
    assert 500 < len(addresses(found, "To")) < 2000
    assert time.thread_time() - began < 1


def test_addresses_are_bare_or_left_out() -> None:
    found = message(
        leaf("text/plain", "x"), ("Cc", 'Bob <b@x.example>, "a@ok.example" <evil@x.example>, bad, B@x.example')
    )
    assert addresses(found, "Cc") == ["b@x.example", "evil@x.example"]


def test_what_goes_out_comes_back() -> None:
    mail = outgoing(
        ["bob@example.com", "BOB@example.com"],
        " Größe\r\nBcc: x@y.example ",
        "a\r\nb\n.\n☃ " + "x" * 2000,
        ["c@x.example"],
    )
    assert mail.to == ("bob@example.com",)
    assert mail.subject == "Größe Bcc: x@y.example"
    ident = message_id("run:1:call", "ada@example.com")
    raw = written(mail, "ada@example.com", ident, NOON, ["<one@x>", "bad", "<two@x>"])
    plain = base64.urlsafe_b64decode(raw).decode("ascii")
    assert plain.count("To: ") == 2  # To, In-Reply-To
    assert "In-Reply-To: <two@x>" in plain
    assert "\r\nBcc" not in plain
    back, words = read_back(raw)
    assert (back, words.digest) == (ident, mail.digest)
    assert words.digest != outgoing(["eve@example.com"], mail.subject, mail.body, mail.cc).digest


@pytest.mark.parametrize(
    "address",
    [
        "",
        "bob",
        "a@x.example, b@x.example",
        "Bob <b@x.example>",
        "b@x.example\nBcc: c@x.example",
        "b@1.2.3.4",
        "b@xn--é.example",
    ],
)
def test_an_address_is_one_bare_address(address: str) -> None:
    with pytest.raises(MailProblem):
        outgoing([address], "s", "b")


def test_limits_of_what_goes_out() -> None:
    with pytest.raises(MailProblem):
        outgoing([], "s", "b")
    with pytest.raises(MailProblem):
        outgoing([f"a{n}@x.example" for n in range(6)], "s", "b", [f"b{n}@x.example" for n in range(5)])
    assert len(one_line("x" * 999)) == 200
    assert one_line("a\x00\u2028b\tc") == "a� b c"
    assert chain_of("<a@x> <b@x>", "<a@x>") == ["<b@x>", "<a@x>"]


def test_a_foreign_message_is_not_ours() -> None:
    for text in ("To: a@x\r\nBcc: b@x\r\n\r\nhi", "Content-Type: text/html\r\n\r\nhi"):
        with pytest.raises(MailProblem):
            read_back(b64(text))
