"""The event catalogue: every type has a model, and frames are what the models describe."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args
from uuid import uuid4

import pytest
from pydantic import TypeAdapter

from app.models.events import CATALOGUE, TERMINAL_EVENTS, Event
from app.models.frames import EventHead, frame, stamp, whole

HEAD = EventHead(uuid4(), uuid4(), 2)
NAMES = {get_args(model.model_fields["type"].annotation)[0] for model in CATALOGUE}
ID = str(uuid4())
PAYLOADS: dict[str, dict[str, Any]] = {
    "run.queued": {"waiting_on": [{"type": "slot", "detail": "user"}]},
    "run.started": {"model": "demo", "agent": "assistant"},
    "run.waiting": {"approval_ids": [ID]},
    "run.retrying": {"until": datetime.now(UTC), "reason": "rate_limited"},
    "run.completed": {"result": {"text": "hi"}, "usage": {"requests": 1, "cost_usd": Decimal("0.1")}, "message_id": ID},
    "run.failed": {"status_reason": "limit_steps", "detail": "Too many steps."},
    "run.cancelled": {"status_reason": "cancelled"},
    "run.snapshot": {"text": "", "status": "running", "checkpoints": 0, "reason": "resumed"},
    "message.delta": {"text": "a", "part": 0},
    "message.completed": {"message_id": ID, "text": "a"},
    "tool.call": {"tool_call_id": "c1", "tool": "clock", "arguments": {}, "effect": False, "step": 1},
    "tool.result": {"tool_call_id": "c1", "tool": "clock", "status": "ok", "summary": "12:00"},
    "approval.requested": {"approval_id": ID, "kind": "tool_call", "tool": "http_post", "arguments": {"a": 1}},
    "approval.decided": {"approval_id": ID, "status": "approved", "decision": "approve"},
    "approval.expired": {"approval_id": ID},
    "usage.updated": {"usage": {"input_tokens": 3}},
    "plan.updated": {"steps": [{"title": "x"}]},
    "context.patch": {
        "tool_call_id": "call",
        "patch": [{"op": "add", "path": "/a", "value": 1}],
        "base_version": 3,
        "applied": False,
        "why": "It was asked for.",
    },
    "delivery.updated": {"delivery_id": ID, "channel": "email", "status": "sent"},
}


def test_the_union_holds_the_whole_catalogue() -> None:
    assert set(PAYLOADS) == NAMES
    assert NAMES >= TERMINAL_EVENTS
    schema = TypeAdapter(Event).json_schema()
    assert set(schema["discriminator"]["mapping"]) == NAMES


@pytest.mark.parametrize("name", sorted(PAYLOADS))
def test_a_frame_is_what_its_model_describes(name: str) -> None:
    made = frame(HEAD, 7, name, PAYLOADS[name])
    event: Any = TypeAdapter(Event).validate_json(made.data)
    assert (event.type, event.seq, event.run_id, event.conversation_id, event.attempt) == (
        name,
        7,
        HEAD.run_id,
        HEAD.conversation_id,
        2,
    )
    assert json.loads(made.data).keys() >= {"type", "seq", "run_id", "conversation_id", "ts", "attempt"}


def test_the_stored_part_gives_back_the_whole_event() -> None:
    made = frame(HEAD, 3, "message.delta", {"text": 'ä\n"', "part": 0})
    assert "run_id" not in json.loads(made.row)
    assert whole(made.row, 3, HEAD.run_id, HEAD.conversation_id) == made.data
    assert frame(HEAD, 4, "run.queued", {}).event["type"] == "run.queued"


@pytest.mark.parametrize("bad", ["a\x00b", "a\ud800b", float("nan"), {"k\x00": ["\udfff"]}, "\\u0000"])
def test_text_that_the_ledger_cannot_hold_is_replaced(bad: Any) -> None:
    made = frame(HEAD, 1, "tool.call", {"arguments": {"x": bad}})
    assert b"\x00" not in made.data
    assert "\x00" not in json.dumps(json.loads(made.data), ensure_ascii=False)
    assert b"NaN" not in made.data
    if bad == "\\u0000":
        assert made.event["arguments"]["x"] == bad


def test_times_are_utc_with_milliseconds() -> None:
    assert stamp(datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)) == b"2026-01-02T03:04:05.678Z"
