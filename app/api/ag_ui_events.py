"""A run as the events of the AG-UI protocol, version 1.0."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.api.response_events import pauses
from app.api.run_writer import Event, Part, RunWriter

DECISION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean"},
        "editedArgs": {"type": "object"},
        "reason": {"type": "string"},
    },
    "required": ["approved"],
}
"""What the payload of an answer to an interrupt looks like."""


@dataclass
class AgUiWriter(RunWriter):
    """Feed it every event of a run; it gives what those after `after` become. `run_id` is the client's word for it."""

    run: str
    thread_id: str
    run_id: str
    state: Mapping[str, Any] | None = None
    _interrupts: list[Part] = field(default_factory=list[Part])

    def _begin(self) -> list[Part]:
        told: list[Part] = [
            {"type": "RUN_STARTED", "threadId": self.thread_id, "runId": self.run_id},
            {"type": "CUSTOM", "name": "sixlane.run", "value": {"run_id": self.run}},
        ]
        return [*told, {"type": "STATE_SNAPSHOT", "snapshot": dict(self.state)}] if self.state is not None else told

    def _text_begins(self, seq: int) -> tuple[str, list[Part]]:
        message_id = f"{self.run}-{seq}"
        return message_id, [{"type": "TEXT_MESSAGE_START", "messageId": message_id, "role": "assistant"}]

    def _text_goes_on(self, text: str) -> Part:
        return {"type": "TEXT_MESSAGE_CONTENT", "messageId": self._open, "delta": text}

    def _text_ends(self, text_id: str, *, void: bool) -> list[Part]:
        """Of a message that does not count a custom event tells."""
        end: Part = {"type": "TEXT_MESSAGE_END", "messageId": text_id}
        gone: Part = {"type": "CUSTOM", "name": "sixlane.void", "value": {"messageId": text_id}}
        return [end, gone] if void else [end]

    # Tools

    def _on_tool_call(self, event: Event) -> list[Part]:
        if event.get("client"):
            self._client.append(str(event["tool_call_id"]))
        return self._announce(event)

    def _announce(self, event: Event) -> list[Part]:
        call_id = str(event["tool_call_id"])
        if call_id in self._announced:
            return []
        self._announced.add(call_id)
        arguments = json.dumps(event["arguments"], ensure_ascii=False, separators=(",", ":"))
        return [
            *self._close(),
            {"type": "TOOL_CALL_START", "toolCallId": call_id, "toolCallName": event["tool"]},
            {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": arguments},
            {"type": "TOOL_CALL_END", "toolCallId": call_id},
        ]

    def _on_tool_result(self, event: Event) -> list[Part]:
        if not self._settles(event):
            return []
        call_id = str(event["tool_call_id"])
        message_id = f"{self.run}-{event['seq']}"
        content = event.get("summary") or event["status"]
        result: Part = {"type": "TOOL_CALL_RESULT", "messageId": message_id, "toolCallId": call_id}
        return [{**result, "content": content, "role": "tool"}]

    def _on_approval_requested(self, event: Event) -> list[Part]:
        call_id = event.get("tool_call_id")
        self._interrupts.append(
            {
                "id": str(event["approval_id"]),
                "reason": "tool_call" if event["kind"] == "tool_call" else str(event["kind"]),
                "message": f"May {event['tool']} be called?",
                **({"toolCallId": call_id} if call_id else {}),
                "responseSchema": DECISION_SCHEMA,
            }
        )
        return self._announce(event) if call_id else []

    # Beside the answer

    def _on_context_patch(self, event: Event) -> list[Part]:
        if event["applied"]:
            return [{"type": "STATE_DELTA", "delta": event["patch"]}]
        return [{"type": "CUSTOM", "name": "context.patch", "value": event}]

    def _on_plan_updated(self, event: Event) -> list[Part]:
        return [{"type": "CUSTOM", "name": "plan.updated", "value": event["steps"]}]

    # Ends

    def _on_run_waiting(self, event: Event) -> list[Part]:
        if not pauses(event, background=False):
            return []
        asked = {str(one) for one in event.get("approval_ids") or ()}
        interrupts = [one for one in self._interrupts if one["id"] in asked]
        if interrupts:
            return self._end({"type": "interrupt", "interrupts": interrupts})
        waiting = [one["tool_call_id"] for one in event["waiting_on"] if one.get("type") == "client_tool"]
        return self._end({"type": "success", "pendingToolCallIds": waiting})

    def _on_run_completed(self, event: Event) -> list[Part]:
        return [*self._answer(event), *self._end({"type": "success"})]

    def _on_run_failed(self, event: Event) -> list[Part]:
        self.ended = True
        code = str(event.get("status_reason") or "failed")
        return [
            *self._close(),
            {"type": "RUN_ERROR", "message": event.get("detail") or "The run failed.", "code": code},
        ]

    def _on_run_cancelled(self, event: Event) -> list[Part]:
        return self._end({"type": "cancelled"})

    def _end(self, outcome: Part) -> list[Part]:
        self.ended = True
        finished: Part = {"type": "RUN_FINISHED", "threadId": self.thread_id, "runId": self.run_id}
        return [*self._close(), {**finished, "outcome": outcome}]
