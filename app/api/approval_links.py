"""The pages behind links in mails: what a run would like to do, and the buttons that decide it."""

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Path, Request, Response

from app.api.body import read_body
from app.api.deps import Keyless, runtime_of
from app.api.html import Form, html_page
from app.api.route import StrictRoute
from app.models.errors import NotFound
from app.services import approval_links
from app.services.approval_views import facts_of

router = APIRouter(route_class=StrictRoute, tags=["approvals"], include_in_schema=False)

Holder = Annotated[None, Depends(Keyless(anywhere=True))]
"""Whoever holds the link: it is the credential, and works once."""

Token = Annotated[str, Path(max_length=200)]

MOST_FORM = 200
_BUTTONS = {
    "approve": "Approve",
    "deny": "Deny",
    "happened": "It did happen",
    "repeat": "Do it again",
    "skip": "Leave it",
}
_TOLD = {
    "approve": ("Approved", "The run goes on and does exactly this, once."),
    "deny": ("Denied", "It was not done. The run goes on without it."),
    "happened": ("Noted", "The run goes on, knowing that it happened."),
    "repeat": ("Noted", "The run does it again."),
    "skip": ("Noted", "The run goes on without doing it again."),
}


@router.get("/approvals/link/{token}")
async def show_approval(token: Token, request: Request, _holder: Holder) -> Response:
    """What would be done, in full. Looking decides nothing."""
    try:
        row = await approval_links.look(runtime_of(request).database, token)
    except NotFound:
        return _invalid()
    buttons = [(one, _BUTTONS[one]) for one in approval_links.offered(row)]
    form = Form(f"{approval_links.PATH}/{token}", {}, "decision", buttons)
    if row.kind == "unknown_outcome":
        return html_page("Did this happen?", "Nobody knows whether this was done.", facts=facts_of(row), form=form)
    return html_page("May this be done?", "A run waits for your decision.", facts=facts_of(row), form=form)


@router.post("/approvals/link/{token}")
async def decide_by_link(token: Token, request: Request, _holder: Holder) -> Response:
    """Decide, once."""
    form = dict(parse_qsl((await read_body(request, MOST_FORM)).decode("latin-1"), max_num_fields=None))
    decision = form.get("decision", "")
    try:
        await approval_links.decide(runtime_of(request).database, token, decision)
    except NotFound:
        return _invalid()
    title, sentence = _TOLD[decision]
    return html_page(title, sentence)


def _invalid() -> Response:
    return html_page(
        "This link is not valid",
        "It was used, it has expired, or somebody has decided already. Nothing was changed.",
        status=404,
    )
