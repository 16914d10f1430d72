"""Slack's doors: events, slash commands, and buttons and forms. One function lets all of them in."""

from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response
from pydantic_core import to_json

from app.api.body import read_body, read_json
from app.api.deps import Keyless, runtime_of
from app.api.examples import answers
from app.api.examples_slack import CHALLENGE, COMMAND_FORM, EVENT, INTERACTION_FORM, REPLY, body_of
from app.api.route import StrictRoute
from app.models.errors import BadRequest
from app.runtime.slack import SlackApp, slack_app
from app.services.slack_payloads import Kind

router = APIRouter(route_class=StrictRoute, tags=["slack"])

MOST_BYTES = 1_048_576
MOST_FIELDS = 50

SlackItself = Annotated[None, Depends(Keyless(anywhere=True, counted=False))]
"""Slack: the door itself verifies the signature."""


def app_of(request: Request) -> SlackApp:
    """The process' Slack app."""
    state = request.app.state
    made: SlackApp | None = getattr(state, "slack_app", None)
    if made is None:
        runtime = runtime_of(request)
        made = state.slack_app = runtime.slack or slack_app(runtime)
    return made


@router.post("/slack/events", responses=answers(200, CHALLENGE), openapi_extra=body_of("application/json", EVENT))
async def receive_slack_events(request: Request, _sender: SlackItself) -> Response:
    """Take an event of Slack's Events API in; Slack signs it, and needs no API key.

    It is acknowledged once it is stored with the run that it begins, before anything is done about it. 401 is the
    same for every cause: unsigned, changed, older than five minutes, another app or workspace, or no signing secret
    on this server.
    """
    return await _taken(request, "event")


@router.post(
    "/slack/commands",
    responses=answers(200, REPLY),
    openapi_extra=body_of("application/x-www-form-urlencoded", COMMAND_FORM),
)
async def receive_slack_commands(request: Request, _sender: SlackItself) -> Response:
    """Take the slash command in; the answer is shown to whoever typed it."""
    return await _taken(request, "command")


@router.post(
    "/slack/interactions",
    responses=answers(200, {}),
    openapi_extra=body_of("application/x-www-form-urlencoded", INTERACTION_FORM),
)
async def receive_slack_interactions(request: Request, _sender: SlackItself) -> Response:
    """Take a click on one of our buttons, or one of our forms, in."""
    return await _taken(request, "interaction")


async def _taken(request: Request, kind: Kind) -> Response:
    raw = await read_body(request, MOST_BYTES)
    inbox = app_of(request).inbox
    inbox.verify(_headers(request), raw)
    answer = await inbox.take(kind, _payload(kind, raw))
    if answer is None:
        return Response(status_code=200)
    return Response(to_json(answer), media_type="application/json")


def _headers(request: Request) -> dict[str, str]:
    """The headers by lower-case name; one that came more than once as a list."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _payload(kind: Kind, raw: bytes) -> dict[str, Any]:
    """What the body says. Raises BadRequest and InvalidInput for what Slack would never send."""
    if kind == "event":
        return _object(read_json(raw))
    try:
        fields = dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise BadRequest("The body is no form.") from None
    return fields if kind == "command" else _object(read_json(fields.get("payload", "").encode()))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest("The body is no JSON object.")
    return value  # pyright: ignore[reportUnknownVariableType]
