"""A run as the events of the AG-UI protocol, version 1.0."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.api.response_events import pauses

Event = dict[str, Any]

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
class AgUiWriter:
    """Feed it every event of a run; it gives what those after `after` become. `run_id` is the client's word for it."""

    run: str
    thread_id: str
    run_id: str
    after: int = 0
    state: Mapping[str, Any] | None = None
    ended: bool = False
    _begun: bool = False
    _open: str = ""
    _said: str = ""
    _attempt: int = 0
    _spoke: bool = False
    _announced: set[str] = field(default_factory=set[str])
    _settled: set[str] = field(default_factory=set[str])
    _client: list[str] = field(default_factory=list[str])
    _interrupts: list[Event] = field(default_factory=list[Event])

    def feed(self, event: Event) -> list[Event]:
        """What an event becomes."""
        if self.ended:
            return []
        told: list[Event] = []
        if self._open and event["attempt"] != self._attempt:
            told += self._close(void=True)
        handler = getattr(self, "_on_" + event["type"].replace(".", "_"), None)
        if handler is not None:
            told += handler(event)
        if event["seq"] <= self.after:
            self.ended = False
            return []
        return told if self._begun else [*self._begin(), *told]

    def _begin(self) -> list[Event]:
        self._begun = True
        told: list[Event] = [
            {"type": "RUN_STARTED", "threadId": self.thread_id, "runId": self.run_id},
            {"type": "CUSTOM", "name": "sixlane.run", "value": {"run_id": self.run}},
        ]
        return [*told, {"type": "STATE_SNAPSHOT", "snapshot": dict(self.state)}] if self.state is not None else told

    # Text

    def _on_message_delta(self, event: Event) -> list[Event]:
        self._attempt = event["attempt"]
        return self._text(event["text"], event["seq"])

    def _text(self, text: str, seq: int) -> list[Event]:
        if not text:
            return []
        told: list[Event] = []
        if not self._open:
            self._open, self._said = f"{self.run}-{seq}", ""
            told.append({"type": "TEXT_MESSAGE_START", "messageId": self._open, "role": "assistant"})
        self._said += text
        self._spoke = True
        return [*told, {"type": "TEXT_MESSAGE_CONTENT", "messageId": self._open, "delta": text}]

    def _close(self, *, void: bool = False) -> list[Event]:
        """End the open message; of one that does not count a custom event tells."""
        if not self._open:
            return []
        message_id, self._open = self._open, ""
        end: Event = {"type": "TEXT_MESSAGE_END", "messageId": message_id}
        gone: Event = {"type": "CUSTOM", "name": "sixlane.void", "value": {"messageId": message_id}}
        return [end, gone] if void else [end]

    def _on_message_completed(self, event: Event) -> list[Event]:
        whole: str = event["text"]
        self._attempt = event["attempt"]
        told: list[Event] = []
        if self._open and not whole.startswith(self._said):
            told = self._close(void=True)
        said = self._said if self._open else ""
        return [*told, *self._text(whole[len(said) :], event["seq"]), *self._close()]

    def _on_run_snapshot(self, event: Event) -> list[Event]:
        told = self._close(void=True)
        self._attempt = event["attempt"]
        return [*told, *self._text(event["text"], event["seq"])]

    # Tools

    def _on_tool_call(self, event: Event) -> list[Event]:
        if event.get("client"):
            self._client.append(str(event["tool_call_id"]))
        return self._announce(event)

    def _announce(self, event: Event) -> list[Event]:
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

    def _on_tool_result(self, event: Event) -> list[Event]:
        call_id = str(event["tool_call_id"])
        if call_id in self._settled or call_id not in self._announced or (call_id in self._client and self.after):
            return []  # what a client has answered it knows better than the summary
        self._settled.add(call_id)
        message_id = f"{self.run}-{event['seq']}"
        content = event.get("summary") or event["status"]
        result: Event = {"type": "TOOL_CALL_RESULT", "messageId": message_id, "toolCallId": call_id}
        return [{**result, "content": content, "role": "tool"}]

    def _on_approval_requested(self, event: Event) -> list[Event]:
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

    def _on_context_patch(self, event: Event) -> list[Event]:
        if event["applied"]:
            return [{"type": "STATE_DELTA", "delta": event["patch"]}]
        return [{"type": "CUSTOM", "name": "context.patch", "value": event}]

    def _on_plan_updated(self, event: Event) -> list[Event]:
        return [{"type": "CUSTOM", "name": "plan.updated", "value": event["steps"]}]

    # Ends

    def _on_run_waiting(self, event: Event) -> list[Event]:
        if not pauses(event, background=False):
            return []
        asked = {str(one) for one in event.get("approval_ids") or ()}
        interrupts = [one for one in self._interrupts if one["id"] in asked]
        if interrupts:
            return self._end({"type": "interrupt", "interrupts": interrupts})
        waiting = [one["tool_call_id"] for one in event["waiting_on"] if one.get("type") == "client_tool"]
        return self._end({"type": "success", "pendingToolCallIds": waiting})

    def _on_run_completed(self, event: Event) -> list[Event]:
        result: dict[str, Any] = event.get("result") or {}
        text = "" if self._spoke else result.get("text") or ""
        return [*self._text(text, event["seq"]), *self._end({"type": "success"})]

    def _on_run_failed(self, event: Event) -> list[Event]:
        self.ended = True
        code = str(event.get("status_reason") or "failed")
        return [
            *self._close(),
            {"type": "RUN_ERROR", "message": event.get("detail") or "The run failed.", "code": code},
        ]

    def _on_run_cancelled(self, event: Event) -> list[Event]:
        return self._end({"type": "cancelled"})

    def _end(self, outcome: Event) -> list[Event]:
        self.ended = True
        finished: Event = {"type": "RUN_FINISHED", "threadId": self.thread_id, "runId": self.run_id}
        return [*self._close(), {**finished, "outcome": outcome}]
