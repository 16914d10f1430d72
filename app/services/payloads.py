"""What a webhook says: read as data, filtered, mapped, named for deduplication, and put before an agent as data."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

import pydantic_core

from app.agents.text import clean
from app.models import json_path
from app.models.trigger import Condition, ConditionOut, TriggerConfig

MOST_CHARACTERS = 300_000
"""How much of an event, or of all events that begin one run together, is put before the agent."""

_VARIABLE_CHARACTERS = 500
_KEY_CHARACTERS = 200
_KEPT_HEADERS = 50
_KEPT_CHARACTERS = 1000
_FORM = b"payload="
_VARIABLE = re.compile(r"\{\{[ ]?([A-Za-z_][A-Za-z0-9_]{0,63})[ ]?\}\}")
_MARK = re.compile(r"<(?=[\s/]*webhook_payload)", re.IGNORECASE)
_SPACE = re.compile(r"[\s\x00-\x1f\x7f\u2028\u2029]+")
_SECRET_HEADERS = re.compile(r"authorization|cookie|signature|secret|token|api-?key|password", re.IGNORECASE)
_SENDER_IDS = {
    "standard": ("webhook-id", "svix-id"),
    "github": ("x-github-delivery",),
    "hmac": ("webhook-id", "idempotency-key"),
    "bearer": ("webhook-id", "idempotency-key"),
    "none": ("webhook-id", "idempotency-key"),
}
_SENDER_PATHS = {"stripe": ("id",), "slack": ("event_id",)}


@dataclass(frozen=True)
class Payload:
    """A request's body and headers (lower-case names)."""

    body: bytes
    headers: Mapping[str, str]

    @cached_property
    def text(self) -> str:
        """The body as text; what is no UTF-8 becomes U+FFFD."""
        return clean(self.body.decode("utf-8", "replace"))

    @cached_property
    def data(self) -> Any:
        """The body as JSON, or its text when it is none. The content type is not asked: senders get it wrong.

        GitHub's and Slack's forms have one field, `payload`, that holds the JSON.
        """
        body = self.body
        if body.startswith(_FORM):
            body = unquote_to_bytes(body.removeprefix(_FORM).replace(b"+", b" "))
        try:
            return clean(pydantic_core.from_json(body, allow_inf_nan=False))
        except ValueError:
            return self.text

    def at(self, path: str) -> tuple[bool, Any]:
        """Whether there is something at the path, and what."""
        root, steps = json_path.parse(path)
        if root != json_path.HEADERS:
            return json_path.find(self.data, steps)
        steps = tuple(step.lower() if isinstance(step, str) else step for step in steps)
        return json_path.find(dict(self.headers), steps)


def test(condition: Condition, payload: Payload) -> ConditionOut:
    """Try one condition. What is not there equals nothing, is in no list, and differs from everything."""
    there, found = payload.at(condition.path)
    which = condition.test
    if which == "exists":
        holds = there == condition.exists
    elif which == "one_of":
        holds = there and any(_equal(found, one) for one in condition.one_of or ())
    elif which == "equals":
        holds = there and _equal(found, condition.equals)
    else:
        holds = not (there and _equal(found, condition.not_equals))
    return ConditionOut(path=condition.path, test="in" if which == "one_of" else which, found=found, holds=holds)


def _equal(found: Any, wanted: Any) -> bool:
    """Equality of JSON: true is not 1."""
    return isinstance(found, bool) is isinstance(wanted, bool) and found == wanted


def filtered(config: TriggerConfig, payload: Payload) -> str | None:
    """Why the event does not pass the filter, or None when it does."""
    for condition in config.filter:
        tried = test(condition, payload)
        if not tried.holds:
            return f"The filter on {tried.path} ({tried.test}) did not hold."
    return None


def dedup_key(config: TriggerConfig, payload: Payload, event_id: UUID) -> str:
    """What the same event is known by when it comes again: the sender's id, else the hash of the body."""
    if config.dedup is not None and config.dedup.by == "nothing":
        return f"event:{event_id}"
    sender = "" if config.dedup is not None and config.dedup.by == "body" else _sender_id(config, payload)
    if not sender:
        return f"body:{hashlib.sha256(payload.body).hexdigest()}"
    if len(sender) > _KEY_CHARACTERS:
        sender = hashlib.sha256(sender.encode()).hexdigest()
    return f"id:{sender}"


def _sender_id(config: TriggerConfig, payload: Payload) -> str:
    dedup = config.dedup
    if dedup is not None and dedup.header is not None:
        return clean(payload.headers.get(dedup.header.lower(), ""))
    if dedup is not None and dedup.path is not None:
        return _word(payload.at(dedup.path)[1])
    if config.scheme in _SENDER_PATHS:
        return _word(json_path.find(payload.data, _SENDER_PATHS[config.scheme])[1])
    return clean(next((found for name in _SENDER_IDS[config.scheme] if (found := payload.headers.get(name))), ""))


def _word(value: Any) -> str:
    """An id out of JSON: a text or a number, nothing else."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def variables(config: TriggerConfig, payload: Payload) -> dict[str, str]:
    """The places that the mapping names, each as one short line; empty where there is nothing."""
    return {name: _line(payload.at(path)) for name, path in config.mapping.items()}


def _line(found: tuple[bool, Any]) -> str:
    there, value = found
    if not there or value is None:
        return ""
    text = value if isinstance(value, str) else pydantic_core.to_json(value).decode()
    text = _neutral(_SPACE.sub(" ", text[: 2 * _VARIABLE_CHARACTERS])).strip()
    return text if len(text) <= _VARIABLE_CHARACTERS else text[:_VARIABLE_CHARACTERS] + "…"


def rendered(prompt: str, config: TriggerConfig, payloads: Sequence[Payload]) -> str:
    """The task's prompt with its variables, and after it every payload as a marked block of data.

    Only names of the mapping are replaced, by the newest event's values; everything else stays as it was written.
    """
    values = variables(config, payloads[-1])
    filled = _VARIABLE.sub(lambda found: values.get(found[1], found[0]), prompt)
    share = MOST_CHARACTERS // len(payloads)
    blocks = [_block(payload, share, number, len(payloads)) for number, payload in enumerate(payloads, 1)]
    return "\n\n".join([filled, *blocks])


def _block(payload: Payload, share: int, number: int, of: int) -> str:
    text = payload.text
    if len(text) > share:
        text = f"{text[:share]}\n… {len(text) - share} characters were cut"
    which = f" {number} of {of}" if of > 1 else ""
    return f"The event{which}, as data:\n<webhook_payload>\n{_neutral(text)}\n</webhook_payload>"


def _neutral(text: str) -> str:
    """The text, unable to end the block that it stands in."""
    return _MARK.sub("&lt;", text)


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that may be stored and shown: none that carries a secret."""
    kept = {
        name: clean(value[:_KEPT_CHARACTERS]) for name, value in headers.items() if not _SECRET_HEADERS.search(name)
    }
    return dict(list(kept.items())[:_KEPT_HEADERS])
