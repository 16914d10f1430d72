"""What our messages in Slack look like: blocks and forms in which nothing acts but our own buttons.

Text of people and models stands in plain text, or in Markdown with everything escaped that Slack would act on.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.channels.channel import one_line
from app.channels.slack import escaped
from app.models.approval import Approval

Part = dict[str, Any]
"""One message: `text` (what notifications show) and `blocks`."""

MOST_CHUNK = 11_500
"""A markdown block takes 12,000 characters; escaping is counted, what closes a cut code block is not."""
MOST_PLAIN = 2_900
MOST_FIELD = 3_000
MOST_BLOCKS = 40
_FENCE = "```"
_MASKED = re.compile(r"!?\[([^\[\]]*)\]\(\s*<?([^()\s<>]+)>?[^()]*\)")
_HALF = re.compile(r"&[a-z]{0,3}$")
_LABELS = {
    "approve": "Approve",
    "edit": "Edit",
    "deny": "Deny",
    "happened": "It happened",
    "repeat": "Repeat it",
    "skip": "Skip it",
}
_OFFERED = {"tool_call": ("approve", "edit", "deny"), "unknown_outcome": ("happened", "repeat", "skip")}
_VERDICTS = {
    "approve": "Approved",
    "edit": "Approved with changes",
    "deny": "Denied",
    "happened": "Settled: it happened",
    "repeat": "Settled: it is done again",
    "skip": "Settled: it is skipped",
}


def answer_parts(text: str) -> list[Part]:
    """An answer as messages of Markdown: no mentions, no pictures, and links that show where they lead."""
    safe = escaped(_MASKED.sub(r"\1 (\2)", text)).strip() or "_(no text)_"
    return [
        {"text": _notice(chunk), "blocks": [{"type": "markdown", "text": chunk}]} for chunk in _chunks(safe, MOST_CHUNK)
    ]


def note(text: str, *buttons: dict[str, Any]) -> Part:
    """A message of our own words in Slack's mrkdwn; what comes from elsewhere in it is escaped by the caller."""
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": chunk}} for chunk in _chunks(text, MOST_PLAIN)
    ]
    if buttons:
        blocks.append({"type": "actions", "elements": list(buttons)})
    return {"text": _notice(text), "blocks": blocks}


def button(label: str, action: str, value: str, *, style: str | None = None, url: str | None = None) -> dict[str, Any]:
    """A button; its value is an id and never more."""
    made: dict[str, Any] = {"type": "button", "action_id": action, "value": value, "text": _plain(label)}
    if style is not None:
        made["style"] = style
    if url is not None:
        made["url"] = url
    return made


def progress(run_id: UUID, text: str, doing: str) -> Part:
    """What stands in place of an answer that is being made, with the button that stops it."""
    blocks: list[dict[str, Any]] = []
    if text:
        shown = _HALF.sub("", escaped(_MASKED.sub(r"\1 (\2)", text))[:MOST_CHUNK])
        blocks.append({"type": "markdown", "text": f"{shown} …"})
    blocks.append({"type": "context", "elements": [_plain(doing)]})
    blocks.append({"type": "actions", "elements": [button("Stop", "stop", str(run_id))]})
    return {"text": doing, "blocks": blocks}


def card(approval: Approval) -> Part:
    """The card that asks for a decision: what would be done exactly, why a person is asked, and the buttons."""
    asked = f"May I use {approval.tool}?"
    if approval.kind == "unknown_outcome":
        asked = f"{approval.tool} was begun, and whether it happened is not known. What shall I do?"
    shown, whole = _arguments(approval.arguments)
    blocks: list[dict[str, Any]] = [{"type": "section", "text": _plain(asked)}, *_why(approval), *shown]
    if whole:
        styles = {"approve": "primary", "deny": "danger"}
        made = [
            button(_LABELS[name], name, str(approval.id), style=styles.get(name)) for name in _OFFERED[approval.kind]
        ]
        blocks.append({"type": "actions", "elements": made})
    else:
        blocks.append(_context(f"It is too long to be shown here. Decide it in the app: approval {approval.id}"))
    return {"text": asked, "blocks": blocks}


def verdict(approval: Approval) -> Part:
    """The card of a settled approval: what was asked, and what was decided."""
    said = _VERDICTS.get(approval.decision or "", approval.status.capitalize())
    if approval.status == "expired":
        said = "Nobody decided in time, so it was not done"
    elif approval.status == "superseded":
        said = "No longer needed"
    shown, _ = _arguments(approval.decided_arguments or approval.arguments)
    blocks = [{"type": "section", "text": _plain(approval.tool)}, *shown[:10], _context(f"{said}.")]
    if approval.note:
        blocks.append(_context(f"Note: {one_line(approval.note, 500)}"))
    return {"text": f"{approval.tool}: {said}", "blocks": blocks}


def denial(approval_id: UUID) -> dict[str, Any]:
    """The form that asks why."""
    field = {
        "type": "input",
        "block_id": "note",
        "optional": True,
        "label": _plain("Why? The agent reads it."),
        "element": {"type": "plain_text_input", "action_id": "value", "multiline": True, "max_length": 2_000},
    }
    return _form("deny", approval_id, "Deny", [field])


def editing(approval: Approval) -> dict[str, Any] | None:
    """The form with the arguments, each in a field; None when one does not fit."""
    fields: list[dict[str, Any]] = []
    for name, value in approval.arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) > MOST_FIELD or len(name) > 200:
            return None
        element: dict[str, Any] = {
            "type": "plain_text_input",
            "action_id": "value",
            "multiline": "\n" in text or len(text) > 80,
            "initial_value": text,
        }
        label = name if isinstance(value, str) else f"{name} (JSON)"
        fields.append(
            {"type": "input", "block_id": f"arg:{name}", "optional": True, "label": _plain(label), "element": element}
        )
    return _form("edit", approval.id, "Approve", fields) if 0 < len(fields) <= MOST_BLOCKS else None


def edited(approval: Approval, given: Mapping[str, str | None]) -> tuple[dict[str, Any], dict[str, str]]:
    """The arguments from the form, and by block what is wrong with them."""
    arguments: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, value in approval.arguments.items():
        text = given.get(f"arg:{name}")
        if isinstance(value, str):
            arguments[name] = text or ""
            continue
        try:
            arguments[name] = json.loads(text or "null")
        except (ValueError, RecursionError):
            wrong[f"arg:{name}"] = "This must be JSON."
    return arguments, wrong


def _form(callback: str, approval_id: UUID, submit: str, blocks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "modal",
        "callback_id": callback,
        "private_metadata": str(approval_id),
        "title": _plain("Approval"),
        "submit": _plain(submit),
        "close": _plain("Back"),
        "blocks": list(blocks),
    }


def _why(approval: Approval) -> list[dict[str, Any]]:
    said = [one_line(approval.reason, 500)] if approval.reason else []
    if approval.taint:
        said.append(f"In this run the agent has read text of others: {', '.join(approval.taint)}.")
    return [_context(one) for one in said]


def _arguments(arguments: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """Every argument in full as plain text, and whether that was possible."""
    blocks: list[dict[str, Any]] = []
    for name, value in arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
        shown = f"{name}: {text}"
        blocks.extend(
            {"type": "section", "text": _plain(shown[at : at + MOST_PLAIN])} for at in range(0, len(shown), MOST_PLAIN)
        )
    return blocks[:MOST_BLOCKS], len(blocks) <= MOST_BLOCKS


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [_plain(text)]}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text or " ", "emoji": False}


def _notice(text: str) -> str:
    return _HALF.sub("", one_line(text, 200)[:190])


def _chunks(text: str, most: int) -> list[str]:
    """The text in pieces, cut at paragraphs, lines or words where that is possible; code blocks are closed and opened
    again."""
    pieces: list[str] = []
    while len(text) > most:
        cut = max(text.rfind(mark, most // 2, most) for mark in ("\n\n", "\n", " "))
        cut = cut if cut > 0 else most
        piece = _HALF.sub("", text[:cut]) if cut == most else text[:cut]
        text = text[len(piece) :].lstrip("\n")
        if piece.count(_FENCE) % 2:
            piece, text = f"{piece}\n{_FENCE}", f"{_FENCE}\n{text}"
        pieces.append(piece)
    return [*pieces, text] if text.strip() or not pieces else pieces
