"""From a stored notification to the words that are sent: fixed placeholders, filled in once, executed never."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from app.models.delivery import Delivery, Message

DIGEST = "digest"
PLACEHOLDERS = frozenset(
    {"title", "result", "status", "reason", "detail", "url", "event", "agent", "task_id", "run_id", "time"}
)

_NAMED = re.compile(r"\{\{ ?([a-z_]{1,20}) ?\}\}")
_GAP = re.compile(r"\n{3,}")
_WORDS: Mapping[str, tuple[str, str]] = {
    "run.completed": ("{{title}}: done", "{{result}}\n\n{{url}}"),
    "run.failed": ("{{title}}: failed", "It failed: {{reason}}\n\n{{detail}}\n\n{{result}}\n\n{{url}}"),
    "run.waiting": ("{{title}}: waits for your decision", "It waits for a decision.\n\n{{detail}}\n\n{{url}}"),
    "task.recovered": ("{{title}}: works again", "It works again.\n\n{{result}}\n\n{{url}}"),
    "task.paused": (
        "{{title}}: paused",
        "It was paused and will not run until it is resumed.\n\n{{detail}}\n\n{{url}}",
    ),
}
_OTHER = ("{{title}}: {{event}}", "{{result}}\n\n{{detail}}\n\n{{url}}")
_DIGEST_TEXT = 2_000


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its known placeholders replaced; every other text in braces stays as it is.

    One pass: what a value holds is never looked at again.
    """

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        return values.get(name, "") if name in PLACEHOLDERS else found.group()

    return _NAMED.sub(value, template)


def compose(delivery: Delivery, base_url: str | None) -> Message:
    """What a delivery tells. `base_url` is how people reach this server; links are made of it."""
    content = delivery.content
    if content["type"] == DIGEST:
        return _digest(delivery, base_url)
    values = _values(content, delivery.created_at, base_url)
    subject, markdown = _words(content, values)
    data = {**content["data"], "url": values["url"]}
    if content.get("template"):
        data["text"] = markdown
    return Message(
        workspace_id=delivery.workspace_id,
        key=_key(delivery),
        type=content["type"],
        at=delivery.created_at,
        subject=subject,
        markdown=markdown,
        data=data,
        url=values["url"],
    )


def _key(delivery: Delivery) -> str:
    """What a receiver knows the message by: a message that is sent again by hand keeps its first id."""
    return str(delivery.content.get("key") or delivery.id)


def _values(content: Mapping[str, Any], at: datetime, base_url: str | None) -> dict[str, str]:
    facts = cast("dict[str, str]", content["facts"])
    time = at.strftime("%Y-%m-%d %H:%M UTC")
    return {**facts, "time": time, "url": f"{(base_url or '').rstrip('/')}{facts.get('path', '')}"}


def _words(content: Mapping[str, Any], values: Mapping[str, str]) -> tuple[str, str]:
    """Subject and text: the task's own words where it has some, else ours."""
    subject, body = _WORDS.get(content["type"], _OTHER)
    template = cast("dict[str, str | None]", content.get("template") or {})
    subject, body = template.get("subject") or subject, template.get("body") or body
    return filled(subject, values), _GAP.sub("\n\n", filled(body, values)).strip()


def _digest(delivery: Delivery, base_url: str | None) -> Message:
    items = cast("list[dict[str, Any]]", delivery.content["items"])
    parts: list[str] = []
    data: list[dict[str, Any]] = []
    for item in items:
        at = datetime.fromisoformat(item["time"])
        values = _values(item, at, base_url)
        subject, markdown = _words(item, values)
        short = markdown if len(markdown) <= _DIGEST_TEXT else f"{markdown[:_DIGEST_TEXT]}…\n\n{values['url']}"
        parts.append(f"## {' '.join(subject.split())}\n\n{values['time']}\n\n{short}")
        told = {**item["data"], "url": values["url"]}
        data.append({"type": item["type"], "timestamp": item["time"], "data": told})
    left_out = int(delivery.content.get("left_out", 0))
    if left_out:
        parts.append(f"And {left_out} more.")
    return Message(
        workspace_id=delivery.workspace_id,
        key=_key(delivery),
        type=DIGEST,
        at=delivery.created_at,
        subject=f"{len(items) + left_out} notifications",
        markdown="\n\n".join(parts),
        data={"items": data, "left_out": left_out},
    )
