"""Buttons and forms in Slack: who clicked is checked anew, a decision is made once, and the form says what is wrong."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pydantic
import structlog

from app.agents.text import clean
from app.models.approval import Approval, DecisionIn
from app.models.errors import AppError, Unavailable
from app.models.run import TERMINAL
from app.services import approvals, connections, runs
from app.services.slack_answers import place_of
from app.services.slack_cards import Part, denial, edited, editing, note
from app.services.slack_commands import offer_link
from app.services.slack_live import SlackLive
from app.services.slack_payloads import Payload, first, mapping
from app.services.slack_people import Slack

log = structlog.get_logger(__name__)

_DECISIONS = frozenset({"approve", "happened", "repeat", "skip"})
_NOT_YOURS = "This belongs to somebody else, or is not there any more."


class SlackClicks:
    """What clicks do. Each is answered at once; what asks Slack or Google comes after the answer."""

    def __init__(self, slack: Slack, live: SlackLive) -> None:
        self._slack = slack
        self._live = live

    async def click(self, payload: Payload, team_id: str, slack_id: str) -> None:
        """A button was clicked. Raises Unavailable."""
        action = first(payload.get("actions"))
        name, value = str(action.get("action_id", "")), _id(action.get("value"))
        if name == "connect":
            await self._connect(team_id, slack_id)
        elif value is None:
            return
        elif name in _DECISIONS:
            self._tell(payload, slack_id, await self._decided(team_id, slack_id, value, DecisionIn(decision=name)))  # type: ignore[arg-type]
        elif name in ("edit", "deny"):
            await self._open_form(payload, team_id, slack_id, name, value)
        elif name == "stop":
            self._tell(payload, slack_id, await self._stop(team_id, slack_id, value))
        elif name == "revoke_yes":
            self._slack.spawn(self._revoke(payload, team_id, slack_id, value), "slack revoke")
        elif name == "revoke_no":
            self._slack.spawn(self._replace(payload, slack_id, note("It stays connected.")), "slack reply")

    async def submit(self, payload: Payload, team_id: str, slack_id: str) -> dict[str, Any] | None:
        """A form was sent in; what Slack shows in it when something is wrong. Raises Unavailable."""
        view = mapping(payload.get("view"))
        approval_id = _id(view.get("private_metadata"))
        given = _given(view)
        if approval_id is None:
            return None
        if view.get("callback_id") == "deny":
            wanted = DecisionIn(decision="deny", note=given.get("note"))
            problem = await self._decided(team_id, slack_id, approval_id, wanted)
            return _wrong({"note": problem}) if problem else None
        approval = await self._approval(team_id, slack_id, approval_id)
        block = next(iter(given), "")
        if isinstance(approval, str):
            return _wrong({block: approval})
        arguments, wrong = edited(approval, given)
        if wrong:
            return _wrong(wrong)
        try:
            wanted = DecisionIn(decision="edit", arguments=arguments)
        except pydantic.ValidationError:
            return _wrong({block: "These arguments cannot be read."})
        problem = await self._decided(team_id, slack_id, approval_id, wanted)
        return _wrong({block: problem}) if problem else None

    async def _decided(self, team_id: str, slack_id: str, approval_id: UUID, wanted: DecisionIn) -> str | None:
        """Decide; what stood in the way, as a sentence for the person."""
        slack = self._slack
        workspace_id = await slack.workspace_id()
        try:
            async with slack.database.begin(workspace_id) as unit:
                caller = await slack.caller(unit, team_id, slack_id)
                principal = caller.principal(workspace_id)
                row = await approvals.decide(unit, principal, approval_id, wanted, tools=slack.tools)
                run = await unit.runs.get(row.run_id)
                thread = await unit.slack.thread_of(row.conversation_id)
        except Unavailable:
            raise
        except AppError as error:
            return _NOT_YOURS if error.status == 404 else error.detail
        slack.ring()
        if run is not None and run.status == "queued" and thread is not None:
            self._live.begin(run, place_of(thread))
        return None

    async def _approval(self, team_id: str, slack_id: str, approval_id: UUID) -> Approval | str:
        workspace_id = await self._slack.workspace_id()
        async with self._slack.database.begin(workspace_id) as unit:
            caller = await self._slack.caller(unit, team_id, slack_id)
            try:
                row = await approvals.get(unit, caller.principal(workspace_id), approval_id)
            except AppError:
                return _NOT_YOURS
        return row if row.status == "pending" else "This was decided already."

    async def _open_form(self, payload: Payload, team_id: str, slack_id: str, name: str, approval_id: UUID) -> None:
        approval = await self._approval(team_id, slack_id, approval_id)
        if isinstance(approval, str):
            self._tell(payload, slack_id, approval)
            return
        view = denial(approval_id) if name == "deny" else editing(approval)
        if view is None:
            self._tell(payload, slack_id, "This is too long to be edited here. Deny it and say what to change.")
            return
        self._slack.spawn(self._show(payload, slack_id, view), "slack form")

    async def _show(self, payload: Payload, slack_id: str, view: dict[str, Any]) -> None:
        trigger = {"trigger_id": payload.get("trigger_id"), "view": view}
        answer = await self._slack.api.call("views.open", trigger, seconds=3.0)
        if not answer.ok:
            log.warning("slack.no_form", error=answer.error)
            await self._whisper(payload, slack_id, "The form could not be opened. Click once more.")

    async def _stop(self, team_id: str, slack_id: str, run_id: UUID) -> str | None:
        workspace_id = await self._slack.workspace_id()
        try:
            async with self._slack.database.begin(workspace_id) as unit:
                caller = await self._slack.caller(unit, team_id, slack_id)
                before = await runs.get(unit, caller.principal(workspace_id), run_id)
                await runs.cancel(unit, caller.principal(workspace_id), run_id)
        except Unavailable:
            raise
        except AppError as error:
            return _NOT_YOURS if error.status == 404 else error.detail
        return "It has ended already." if before.status in TERMINAL else None

    async def _connect(self, team_id: str, slack_id: str) -> None:
        async with self._slack.database.begin(await self._slack.workspace_id()) as unit:
            await offer_link(unit, await self._slack.caller(unit, team_id, slack_id))
        self._slack.ring()

    async def _revoke(self, payload: Payload, team_id: str, slack_id: str, connection_id: UUID) -> None:
        slack = self._slack
        workspace_id = await slack.workspace_id()
        async with slack.database.begin(workspace_id) as unit:
            caller = await slack.caller(unit, team_id, slack_id)
            row = await unit.connections.get(connection_id)
        if row is None or row.user_id != caller.user_id:
            await self._whisper(payload, slack_id, _NOT_YOURS)
            return
        gone = await connections.revoke(slack.database, slack.vault, slack.google, row)
        said = "It is disconnected, and what I had stored of it is deleted."
        if gone.status_reason == "google_not_told":
            said += " Google did not confirm: please remove me under myaccount.google.com/permissions too."
        await self._replace(payload, slack_id, note(said))

    async def _replace(self, payload: Payload, slack_id: str, part: Part) -> None:
        """Put this where the buttons were; where that cannot be changed, say it in a direct message."""
        channel, message_ts = _channel(payload), str(mapping(payload.get("message")).get("ts") or "")
        if message_ts and not mapping(payload.get("container")).get("is_ephemeral"):
            answer = await self._slack.api.call("chat.update", {"channel": channel, "ts": message_ts, **part})
            if answer.ok:
                return
        await self._slack.api.call("chat.postMessage", {"channel": slack_id, **part})

    def _tell(self, payload: Payload, slack_id: str, problem: str | None) -> None:
        if problem:
            self._slack.spawn(self._whisper(payload, slack_id, problem), "slack reply")

    async def _whisper(self, payload: Payload, slack_id: str, text: str) -> None:
        """Tell the one who clicked, and nobody else."""
        said = {"channel": _channel(payload) or slack_id, "user": slack_id, "text": text}
        thread = mapping(payload.get("message")).get("thread_ts")
        if thread:
            said["thread_ts"] = str(thread)
        await self._slack.api.call("chat.postEphemeral", said)


def _channel(payload: Payload) -> str:
    found = mapping(payload.get("channel")) or mapping(payload.get("container"))
    return str(found.get("id") or found.get("channel_id") or "")


def _id(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _given(view: Payload) -> dict[str, str | None]:
    """What stands in the form, by block."""
    given: dict[str, str | None] = {}
    for name, fields in mapping(mapping(view.get("state")).get("values")).items():
        value = mapping(mapping(fields).get("value")).get("value")
        given[name] = clean(str(value)) if value is not None else None
    return given


def _wrong(errors: Mapping[str, str | None]) -> dict[str, Any]:
    return {"response_action": "errors", "errors": {block: said for block, said in errors.items() if said}}
