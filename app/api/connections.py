"""Connections: linking a Google account, the way of a browser there and back, and taking an account away."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from app.api.body import read_body
from app.api.callers import is_local_caller
from app.api.deps import Keyless, ManageConnections, ObjectId, RuntimeDep, UnitDep, runtime_of
from app.api.examples import answers, page
from app.api.examples_connections import CONNECT, CONNECTION, GOOGLE_STATUS, REVOKED
from app.api.html import HEADERS, Form, html_page, page_answers
from app.api.pages import PageQuery, page_of
from app.api.route import StrictRoute
from app.models.connection import (
    ConnectIn,
    ConnectionOut,
    ConnectOut,
    Declined,
    GoogleStatusOut,
    Linked,
    LinkRefused,
    Question,
    Status,
)
from app.models.errors import AppError, BadRequest, Conflict, Transient
from app.models.page import Page
from app.runtime import Runtime
from app.runtime.google import google_options
from app.services import connections, linking, users
from app.services.connections import LINK_SECONDS
from app.services.linking import Answer, Linking

router = APIRouter(route_class=StrictRoute, tags=["connections"])

Visitor = Annotated[None, Depends(Keyless(anywhere=True))]
"""Whoever holds the browser: the link itself says for whom, and each step of it opens once."""

MOST_FORM = 16_384
MOST_FIELDS = 30
_ABLE = {
    "read": "read and search mail",
    "draft": "write drafts",
    "send": "send mail",
    "label": "label and archive mail",
}
_FORM: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "properties": {name: {"type": "string"} for name in ("token", "answer", "state", "code")},
                }
            }
        }
    }
}
_SENT_BACK = ("state", "code", "error", "iss")
Word = Annotated[str | None, Query(max_length=4096)]


class ConnectionQuery(PageQuery):
    """Which connections to list."""

    status: Status | None = Field(default=None, examples=[None])
    user_id: str | None = Field(default=None, min_length=1, max_length=255, examples=[None])


def _linking(runtime: Runtime) -> Linking:
    return Linking(runtime.database, runtime.vault, connections.configured(google_options(runtime.settings)))


@router.post("/connections/google/start", responses=answers(200, CONNECT, 409))
async def begin_google_connection(
    unit: UnitDep, principal: ManageConnections, runtime: RuntimeDep, body: ConnectIn | None = None
) -> ConnectOut:
    """Get an address for the person's browser that connects a Google account to this person.

    It opens once, within ten minutes; the browser that opens it has to finish it.
    """
    wanted, options = body or ConnectIn(), connections.configured(google_options(runtime.settings))
    user_id = await users.subject(unit, principal, wanted.user_id)
    begun = "local" if principal.kind == "local" else "api"
    link = await connections.ticket(unit, options, user_id, wanted.account, scopes=wanted.scopes, begun=begun)
    return ConnectOut(authorize_url=link.url, expires_at=link.expires_at)


@router.get("/connections/google/start", responses=page_answers(409), response_class=Response)
async def open_google_link(request: Request, _visitor: Visitor, ticket: Word = None) -> Response:
    """Open a link in the browser: it is bound to this browser, which goes on to Google."""
    here = _linking(runtime_of(request))
    if "prefetch" in f"{request.headers.get('sec-purpose', '')} {request.headers.get('purpose', '')}":
        return html_page("Not yet", "Open the link to go on.", status=400)
    at_home = runtime_of(request).settings.env == "local" and is_local_caller(request.scope)
    try:
        leaving = await linking.depart(here, ticket or "", at_home=at_home)
    except LinkRefused as refused:
        return _refusal(refused)
    answer = RedirectResponse(leaving.url, 303, headers={**HEADERS})
    secure = here.options.home.startswith("https:")
    path = "/" if secure else urlsplit(here.options.redirect_uri).path
    answer.set_cookie(
        leaving.cookie, leaving.value, max_age=LINK_SECONDS, path=path, httponly=True, samesite="lax", secure=secure
    )
    return answer


@router.get("/auth/callback", responses=page_answers(409), response_class=Response)
async def arrive_from_google(
    request: Request, _visitor: Visitor, state: Word = None, code: Word = None, error: Word = None, iss: Word = None
) -> Response:
    """Where Google sends the browser back to. The page says what is connected now, asks once more, or says why not."""
    here = _linking(runtime_of(request))
    return await _finished(here, request, Answer(state or "", code, error, iss))


@router.post("/auth/callback", responses=page_answers(409), response_class=Response, openapi_extra=_FORM)
async def answer_the_last_question(request: Request, _visitor: Visitor) -> Response:
    """Say in the browser whether the account shall be connected: `token`, and `answer` yes or no.

    A provider may also post its answer here; the browser then comes again with it, and with its cookie.
    """
    here, form = _linking(runtime_of(request)), await _form(request)
    if "state" in form:
        sent = urlencode({name: form[name] for name in _SENT_BACK if name in form})
        return RedirectResponse(f"{here.options.redirect_uri}?{sent}", 303, headers={**HEADERS})
    try:
        agreed = form.get("answer") == "yes"
        outcome = await linking.confirm(here, form.get("token", ""), request.cookies, agreed=agreed)
    except LinkRefused as refused:
        return _refusal(refused)
    return _shown(here, outcome)


@router.get("/connections", responses=answers(200, page(CONNECTION)))
async def list_connections(
    unit: UnitDep, principal: ManageConnections, query: Annotated[ConnectionQuery, Query()]
) -> Page[ConnectionOut]:
    """List connected accounts, the newest first."""
    user_id, nobody = await users.filtered(unit, principal, query.user_id)
    return await page_of(
        unit.workspace_id,
        query,
        lambda limit, after: connections.page(
            unit, limit=limit, after=after, user_id=user_id, status=query.status, nobody=nobody
        ),
        lambda rows: connections.show(unit, rows),
    )


@router.get("/connections/google/status", responses=answers(200, GOOGLE_STATUS))
async def google_status(
    unit: UnitDep,
    principal: ManageConnections,
    runtime: RuntimeDep,
    user_id: Annotated[str | None, Query(min_length=1, max_length=255)] = None,
) -> GoogleStatusOut:
    """Tell whether Google can be connected here, and what the person's own connection is like."""
    someone, nobody = await users.filtered(unit, principal, user_id)
    who = None if nobody else someone or principal.user_id
    return await connections.status(unit, google_options(runtime.settings), who)


@router.get("/connections/{connection_id}", responses=answers(200, CONNECTION, 404))
async def get_connection(connection_id: ObjectId, unit: UnitDep, principal: ManageConnections) -> ConnectionOut:
    """Get a connected account."""
    return (await connections.show(unit, [await connections.get(unit, principal, connection_id)]))[0]


@router.delete("/connections/{connection_id}", responses=answers(200, REVOKED, 404))
async def remove_connection(
    connection_id: ObjectId, principal: ManageConnections, runtime: RuntimeDep
) -> ConnectionOut:
    """Delete the account's tokens here and withdraw the permission at Google.

    `status_reason` is `google_not_told` where Google did not confirm; the person then removes it in the account.
    """
    options = google_options(runtime.settings)
    return await connections.remove(runtime.database, runtime.vault, options, principal, connection_id)


async def _finished(here: Linking, request: Request, answer: Answer) -> Response:
    try:
        return _shown(here, await linking.arrive(here, answer, request.cookies))
    except (LinkRefused, Conflict) as refused:
        return _refusal(refused)
    except Transient as away:
        sentences = (f"{away.detail} Nothing was connected.", "Ask for a new link in a minute.")
        return html_page("Google is not reachable", *sentences, status=503, headers={"Retry-After": "60"})


def _shown(here: Linking, outcome: Linked | Question | Declined) -> Response:
    if isinstance(outcome, Declined):
        return html_page("Not connected", f"Nothing was connected for {outcome.person}. You can close this page.")
    if isinstance(outcome, Question):
        form = Form(
            urlsplit(here.options.redirect_uri).path,
            {"token": outcome.token},
            "answer",
            [("no", "No, cancel"), ("yes", f"Connect {outcome.linked.account}")],
        )
        warning = "If somebody sent you this link, or you are not that person, cancel: they would get your mail."
        title = "Is this you?"
        return html_page(title, "One last question.", warning, facts=_facts(outcome.linked), form=form)
    more = "You can close this page."
    if not outcome.scopes:
        more = "Google was told to allow nothing, so agents cannot use this mail. Connect again and tick what they may."
    return html_page("Connected", more, facts=_facts(outcome))


def _facts(linked: Linked) -> Mapping[str, str]:
    return {
        "Google account": linked.account,
        "will be used by agents that work for": linked.person,
        "they may": ", ".join(_ABLE[scope] for scope in linked.scopes) or "do nothing with its mail",
    }


def _refusal(refused: AppError) -> Response:
    return html_page("Not connected", refused.detail, status=refused.status)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form, read from the raw body."""
    raw = await read_body(request, MOST_FORM)
    try:
        return dict(parse_qsl(raw.decode(), max_num_fields=MOST_FIELDS))
    except (UnicodeDecodeError, ValueError):
        raise BadRequest("The form cannot be read.") from None
