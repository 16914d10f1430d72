"""What Slack is told of the runs that began there: their answers, and the decisions that they wait for.

Facts become rows of Slack's outbox, in the unit that settles the run; nothing is sent here.
"""

import json
from collections.abc import Sequence
from typing import Any, cast

from app.database.unit import Unit
from app.models.approval import Approval
from app.models.run import Run, RunResult
from app.models.slack import PROVIDER, Place, SlackThread
from app.services.slack_cards import answer_parts, button, card, note, verdict

MOST_TEXT = 100_000
MOST_CARDS = 100
_DIRECT = frozenset({"D", "U", "W"})
"""How ids of direct messages and of people begin; what is said to a person goes to their direct message."""
_UNLINKED = frozenset({"not_connected", "reconnect_needed"})
_PROSE = ("message", "summary", "text", "report", "answer")


async def after_run(unit: Unit, run: Run, result: RunResult | None) -> None:
    """Write down the answer of a run that has ended, for the thread that it came from.

    What the agent knows from a mailbox goes to the person alone, never into a channel.
    """
    thread = await unit.slack.thread_of(run.conversation_id)
    if thread is None:
        return
    here = place_of(thread)
    if run.status == "cancelled" and run.status_reason == "superseded":
        return
    parts = answer_parts(_said(run, result))
    if await _unlinked(unit, run):
        parts[-1]["blocks"].append({"type": "actions", "elements": [connect_button()]})
    private = await _private(unit, run, here)
    if private is not None:
        await unit.slack_messages.put("note", run.id, private, {"parts": parts})
        parts = [note("It is about your mail, so I have answered you in a direct message.")]
    await unit.slack_messages.put("answer", run.id, here, {"parts": parts})


async def waiting(unit: Unit, run: Run, approvals: Sequence[Approval]) -> None:
    """Write down a card for each decision that the run waits for. The answer will stand below them."""
    thread = await unit.slack.thread_of(run.conversation_id)
    if thread is None:
        return
    here = place_of(thread)
    shown = await unit.slack_messages.set_aside(run.id)
    if shown is not None:
        await unit.slack_messages.put("status", shown, here, {"parts": [note("I need your decision first.")]})
    private = await _private(unit, run, here)
    for approval in approvals:
        await unit.slack_messages.put("card", approval.id, private or here, {"parts": [card(approval)]})


async def close_cards(unit: Unit) -> int:
    """Let the cards of decided approvals say what was decided, wherever that was; how many."""
    closed = 0
    for approval_id in await unit.slack_messages.decided_cards(MOST_CARDS):
        approval = await unit.approvals.get(approval_id)
        if approval is not None:
            closed += await unit.slack_messages.close_card(approval.id, {"parts": [verdict(approval)]})
    return closed


def place_of(thread: SlackThread) -> Place:
    """Where the thread is."""
    return Place(thread.team_id, thread.channel_id, thread.thread_ts, direct=thread.channel_id[:1] in _DIRECT)


def connect_button() -> dict[str, Any]:
    """The button that asks for a link to Google; the link itself is made for who clicks."""
    return button("Connect Google", "connect", "google", style="primary")


def holds_mail(run: Run) -> bool:
    """Whether the run has read somebody's mail."""
    return any(source.startswith("mail") for source in run.taint)


async def _private(unit: Unit, run: Run, here: Place) -> Place | None:
    """The person's direct message, where the thread is not for the eyes that the answer is for."""
    if here.direct or not holds_mail(run):
        return None
    identity = await unit.identities.of_user(run.user_id, PROVIDER)
    slack_id = identity.subject.partition(":")[2] if identity else ""
    return Place(here.team_id, slack_id, direct=True) if slack_id else None


async def _unlinked(unit: Unit, run: Run) -> bool:
    """Whether the run wanted mail and the person has no account linked that allows it."""
    if run.status_reason in _UNLINKED:
        return True
    for call in await unit.journal.of_run(run.id):
        found: Any = call.result
        if isinstance(found, dict) and cast("dict[str, Any]", found).get("status") in _UNLINKED:
            return True
    return False


def _said(run: Run, result: RunResult | None) -> str:
    answer = _prose(result)
    if run.status == "completed":
        return answer
    if run.status == "cancelled":
        return f"{answer}\n\nStopped." if answer else "Stopped."
    said = run.status_detail or "Something went wrong."
    hint = "" if run.status_reason in _UNLINKED else " Send it again to try once more."
    return f"{answer}\n\n{said}{hint}" if answer else f"{said}{hint}"


def _prose(result: RunResult | None) -> str:
    """The answer as Markdown; of data its telling field, else all of it as JSON."""
    if result is None or result.data is None:
        return ((result.text if result else None) or "")[:MOST_TEXT]
    data: Any = result.data
    values = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    for name in _PROSE:
        if isinstance(values.get(name), str) and values[name]:
            return values[name][:MOST_TEXT]
    return f"```json\n{json.dumps(data, ensure_ascii=False, indent=2)[:MOST_TEXT]}\n```"
