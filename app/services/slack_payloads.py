"""Reading what Slack sends: whose it is, and what a person said in it. Nothing here raises on odd shapes."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID

import structlog

from app.agents.text import clean
from app.models.errors import WebhookRefused
from app.models.ids import new_id
from app.models.slack import Bot, Place

log = structlog.get_logger(__name__)

Kind = Literal["event", "command", "interaction"]
Payload = Mapping[str, Any]

SLOWEST_SECONDS = 8 * 3600
"""How old a message may be that comes only now; Slack gives up much earlier."""
_SPOKEN = frozenset({"", "file_share", "thread_broadcast"})
"""Subtypes of messages that somebody has just said; edits, joins and the like are none."""
_LINK = re.compile(r"<((?:https?|mailto|tel):[^|>]+)(?:\|[^>]*)?>")
_TS = re.compile(r"[0-9]{9,11}\.[0-9]{6}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said, where, and when; `addressed` when it is meant for the bot whatever the thread."""

    event_id: str
    slack_id: str
    place: Place
    ts: str
    text: str
    addressed: bool

    @property
    def names(self) -> list[str]:
        """What it is known by: a mention comes as two events about one message."""
        return [f"event:{self.event_id}", f"message:{self.place.channel_id}:{self.ts}"]


def said_in(payload: Payload, bot: Bot) -> Said | None:
    """What a person of this workspace said; None for everything else: bots, ourselves, edits, people from outside."""
    event = mapping(payload.get("event"))
    if event.get("type") not in ("message", "app_mention") or str(event.get("subtype") or "") not in _SPOKEN:
        return None
    slack_id, channel, ts = (str(event.get(name) or "") for name in ("user", "channel", "ts"))
    if not (slack_id and channel and ts) or event.get("bot_id") or slack_id == bot.user_id:
        return None
    if any(event.get(name, bot.team_id) != bot.team_id for name in ("team", "user_team", "source_team")):
        return None
    text, mention = clean(str(event.get("text") or "")), f"<@{bot.user_id}>"
    direct = event.get("channel_type") == "im" or (channel.startswith("D") and "channel_type" not in event)
    thread_ts = str(event.get("thread_ts") or ("" if direct else ts))
    return Said(
        event_id=str(payload.get("event_id") or f"{channel}:{ts}:{event['type']}"),
        slack_id=slack_id,
        place=Place(bot.team_id, channel, thread_ts, direct),
        ts=ts,
        text=readable(text.replace(mention, " ")).strip(),
        addressed=direct or event["type"] == "app_mention" or mention in text,
    )


def readable(text: str) -> str:
    """Slack's markup of links and its three escapes as plain text."""
    text = _LINK.sub(lambda found: found.group(1).removeprefix("mailto:"), text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def check_ours(kind: Kind, payload: Payload, bot: Bot) -> None:
    """Raise WebhookRefused for what is meant for another app, or comes from another workspace."""
    team = payload.get("team_id") if kind != "interaction" else mapping(payload.get("team")).get("id")
    app_id = payload.get("api_app_id")
    if team != bot.team_id or (bot.app_id is not None and app_id != bot.app_id):
        log.warning("slack.not_ours", team_id=str(team)[:50], app_id=str(app_id)[:50])
        raise WebhookRefused


def run_id_of(ts: str) -> UUID:
    """An id as old as the message, so that messages which wait together go in the order that they were said."""
    if not _TS.fullmatch(ts) or abs(float(ts) - time.time()) > SLOWEST_SECONDS:
        return new_id()
    seconds, _, micros = ts.partition(".")
    made = new_id().int
    milliseconds = int(seconds) * 1000 + int(micros) // 1000
    within = (int(micros) % 1000) << 2 | (made & 0b11)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | within << 64 | (made & ((1 << 64) - 1)))


def mapping(value: object) -> Payload:
    """The value, if it is an object; else an empty one."""
    return cast("Payload", value) if isinstance(value, dict) else {}


def first(value: object) -> Payload:
    """The first object of a list, or an empty one."""
    found = cast("list[object]", value) if isinstance(value, list) else []
    return mapping(found[0]) if found else {}
