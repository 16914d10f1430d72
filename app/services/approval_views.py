"""An approval in words that nothing can hide in: what would be done, to whom, and why a person is asked."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from app.models.approval import Approval

MOST_VALUE = 20_000
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
_SOURCES = {"web_page": "web pages", "webhook": "a webhook", "slack": "other people in Slack"}


def revealed(text: str) -> str:
    """The text with its invisible and direction-changing characters written out, as in ⟨U+202E⟩."""
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text)


def readable_address(address: str) -> str:
    """A mail address with its domain decoded beside it where that is written in punycode."""
    domain = address.rpartition("@")[2]
    if "xn--" not in domain.lower():
        return revealed(address)
    try:
        return f"{revealed(address)} (reads {revealed(domain.encode('ascii').decode('idna'))})"
    except UnicodeError:
        return f"{revealed(address)} (cannot be decoded)"


def sources(taint: Iterable[str]) -> str:
    """Whose text had entered the run, in words; empty when nobody else's had."""
    words = ["mail" if one.startswith("mail") else _SOURCES.get(one, one) for one in taint]
    return ", ".join(dict.fromkeys(revealed(word) for word in words))


def arguments_of(row: Approval) -> dict[str, str]:
    """The arguments by name, each as plain text; those that name recipients come first."""
    shown = {name: _value(value) for name, value in row.arguments.items()}
    first = [name for name in ("to", "cc", "subject") if name in shown]
    return {revealed(name): shown[name] for name in (*first, *(name for name in shown if name not in first))}


def facts_of(row: Approval) -> dict[str, str]:
    """Everything that a person needs to decide, in the order in which it is read."""
    facts = {"Tool": revealed(row.tool), **arguments_of(row)}
    if row.reason:
        facts["Why you are asked"] = revealed(row.reason)
    if row.taint:
        facts["The run has read"] = sources(row.taint)
    facts["Open until"] = row.expires_at.strftime("%Y-%m-%d %H:%M UTC")
    return facts


def _value(value: Any) -> str:
    if isinstance(value, str):
        text = readable_address(value) if "@" in value and " " not in value else revealed(value)
    elif isinstance(value, list) and all(isinstance(item, str) for item in cast("list[Any]", value)):
        text = ", ".join(readable_address(item) for item in cast("list[str]", value)) or "(nobody)"
    elif isinstance(value, Mapping | list):
        text = revealed(json.dumps(value, ensure_ascii=False, indent=2))
    else:
        text = json.dumps(value)
    return text if len(text) <= MOST_VALUE else f"{text[:MOST_VALUE]}… ({len(text)} characters in all)"
