"""The words that the Slack app knows, typed as a message or after the slash command; anything else is chat."""

from collections.abc import Mapping
from typing import Any

from app.channels.channel import one_line
from app.channels.slack import escaped
from app.database.unit import Unit
from app.models.connection import mail_scopes
from app.models.ids import new_id
from app.models.slack import COMMAND, Place
from app.services.slack_answers import connect_button
from app.services.slack_cards import Part, button, note
from app.services.slack_people import Caller, Slack

WORDS: Mapping[str, str] = {
    "hello": "what I can do (also `help`)",
    "auth": "connect your Google account, so that I can read, draft and send mail for you",
    "status": "your account, what waits for you, what runs and what is scheduled",
    "chat": "`chat <text>` talks to the agent; so does any text that is no command",
    "new": "begin a new conversation here",
    "revoke": "take your Google account away from me",
}
_LISTED = 10


def command_of(text: str) -> tuple[str, str]:
    """The command that a message is, and what follows it; `chat` when it is none."""
    word, _, rest = text.strip().removeprefix(COMMAND).strip().partition(" ")
    word = word.lower().removesuffix("!").removesuffix(".")
    if word == "chat":
        return "chat", rest.strip()
    if word == "help":
        word = "hello"
    if word in WORDS and not rest.strip():
        return word, ""
    return "chat", text.strip()


async def answer(slack: Slack, unit: Unit, caller: Caller, word: str) -> Part:
    """What a command is answered. The link to Google is not made here: it goes to the person alone, when it is sent."""
    if word == "status":
        return await _status(slack, unit, caller)
    if word == "revoke":
        return await _revoke(unit, caller)
    if word == "auth":
        await offer_link(unit, caller)
        return note("I have sent you a link in a direct message. It is for you alone.")
    return hello()


async def offer_link(unit: Unit, caller: Caller, here: Place | None = None) -> None:
    """Have a link to Google sent to the person's direct message."""
    place = here or Place(caller.team_id, caller.slack_id, direct=True)
    state = {"slack_id": caller.slack_id, "user_id": str(caller.user_id)}
    await unit.slack_messages.put("connect", new_id(), place, state)


def hello() -> Part:
    """The greeting, with every command."""
    lines = [f"• `{word}`: {says}" for word, says in WORDS.items()]
    return note(
        "Hello! Write to me here, or mention me in a channel, and I answer. I also know these words, as a message or "
        f"as `{COMMAND} <word>`:\n" + "\n".join(lines)
    )


async def _status(slack: Slack, unit: Unit, caller: Caller) -> Part:
    row = await unit.connections.of_user(caller.user_id)
    lines: list[str] = []
    linked = row is not None and row.status == "active"
    if row is not None and linked:
        lines.append(f"*Google:* {escaped(row.account)}, may {', '.join(mail_scopes(row.scopes)) or 'do nothing'} mail")
    elif row is not None and row.status == "reconnect_needed":
        lines.append(f"*Google:* {escaped(row.account)} has to be connected again")
    else:
        lines.append("*Google:* not connected" + ("" if slack.google else " (not set up on this server)"))
    lines += await _waiting(unit, caller)
    lines += await _work(unit, caller)
    return note("\n".join(lines), *([] if linked or slack.google is None else [connect_button()]))


async def _waiting(unit: Unit, caller: Caller) -> list[str]:
    asked = await unit.approvals.page(limit=_LISTED, status="pending", user_id=caller.user_id)
    if not asked:
        return ["*Waiting for your decision:* nothing"]
    until = [f"• {escaped(one.tool)}, until {one.expires_at:%Y-%m-%d %H:%M} UTC" for one in asked]
    return ["*Waiting for your decision:*", *until]


async def _work(unit: Unit, caller: Caller) -> list[str]:
    running = [
        one
        for status in ("running", "queued")
        for one in await unit.runs.page(limit=_LISTED, status=status, user_id=caller.user_id)
    ]
    lines = [f"*Running:* {len(running)}" if running else "*Running:* nothing"]
    lines += [f"• {_title(one.input.get('prompt') or '')}" for one in running[:_LISTED]]
    tasks = await unit.tasks.page(limit=_LISTED, pattern="scheduled", status="active", user_id=caller.user_id)
    lines.append("*Scheduled:*" if tasks else "*Scheduled:* nothing")
    for task in tasks:
        due = f", next {task.next_due_at:%Y-%m-%d %H:%M} UTC" if task.next_due_at else ""
        lines.append(f"• {_title(task.title or task.prompt)}{due}")
    return lines


def _title(text: str) -> str:
    return escaped(one_line(text, 80))


async def _revoke(unit: Unit, caller: Caller) -> Part:
    row = await unit.connections.of_user(caller.user_id)
    if row is None or row.status == "revoked":
        return note("No Google account is connected. `auth` connects one.")
    made: list[dict[str, Any]] = [
        button("Disconnect", "revoke_yes", str(row.id), style="danger"),
        button("Keep it", "revoke_no", str(row.id)),
    ]
    return note(f"Shall I disconnect {escaped(row.account)}? I could not use that mailbox any more.", *made)
