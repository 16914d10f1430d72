"""Small pages for people whose browser was sent here: plain, escaped, with nothing from outside and no scripts."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import Any

from fastapi import Response

from app.api.problems import errors

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f6f7f9;color:#1b1f24}"
    "main{max-width:34rem;margin:12vh auto 2rem;padding:2rem;background:#fff;border:1px solid #d9dde3;"
    "border-radius:12px}h1{font-size:1.35rem;margin:0 0 1rem}dl{margin:1rem 0}dt{color:#59636e}"
    "dd{margin:0 0 .75rem;font-weight:600;overflow-wrap:anywhere;white-space:pre-wrap}"
    "button{font:inherit;padding:.55rem 1.1rem;"
    "border-radius:8px;border:1px solid #1b1f24;background:#fff;cursor:pointer;margin-right:.5rem}"
    "button.first{background:#1b1f24;color:#fff}"
    "@media(prefers-color-scheme:dark){body{background:#14171b;color:#e6e9ed}main{background:#1d2127;"
    "border-color:#343a42}dt{color:#9aa4b0}button{background:#1d2127;color:#e6e9ed;border-color:#9aa4b0}"
    "button.first{background:#e6e9ed;color:#14171b}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
EXAMPLE = "<!doctype html><title>Connected</title>…"


@dataclass(frozen=True, slots=True)
class Form:
    """A form that posts to the page's own address: hidden fields, and a button for each answer to one question."""

    action: str
    hidden: Mapping[str, str]
    name: str
    buttons: Sequence[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def html_page(
    title: str,
    *sentences: str,
    facts: Mapping[str, str] | None = None,
    form: Form | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A page of plain text; whatever is in it is shown as it is, never read as markup."""
    parts = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(sentence)}</p>" for sentence in sentences)]
    if facts:
        parts.append(f"<dl>{''.join(f'<dt>{escape(k)}</dt><dd>{escape(v)}</dd>' for k, v in facts.items())}</dl>")
    if form is not None:
        parts.append(_form(form))
    document = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · Sixlane</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>"
    )
    return Response(document, status, media_type="text/html", headers={**HEADERS, **(headers or {})})


def _form(form: Form) -> str:
    hidden = "".join(f'<input type="hidden" name="{escape(k)}" value="{escape(v)}">' for k, v in form.hidden.items())
    buttons = "".join(
        f'<button name="{escape(form.name)}" value="{escape(value)}"{" class=first" if number == 0 else ""}>'
        f"{escape(text)}</button>"
        for number, (value, text) in enumerate(form.buttons)
    )
    return f'<form method="post" action="{escape(form.action)}">{hidden}{buttons}</form>'


def page_answers(*failures: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that answers with pages, also when it refuses; other failures are problems."""
    found = errors(*failures)
    shown = {"text/html": {"schema": {"type": "string"}, "example": EXAMPLE}}
    for status in (200, 400, *failures, 503):
        there = found.get(status, {"description": HTTPStatus(status).phrase, "content": {}})
        found[status] = {**there, "content": {**there["content"], **shown}}
    return {**found, 303: {"description": HTTPStatus(303).phrase}}
