"""A run as the UI message stream (version 1) that the Vercel AI SDK reads."""

from dataclasses import dataclass, field
from typing import Any

from app.api.response_events import pauses
from app.api.run_writer import Event, Part, RunWriter


@dataclass
class VercelWriter(RunWriter):
    """Feed it every event of a run; it gives the chunks of those after `after`."""

    run_id: str
    conversation_id: str
    _tools_in_step: bool = False
    _asked: dict[str, str] = field(default_factory=dict[str, str])

    def _begin(self) -> list[Part]:
        about = {"runId": self.run_id, "conversationId": self.conversation_id}
        return [{"type": "start", "messageId": self.run_id, "messageMetadata": about}, {"type": "start-step"}]

    def _text_begins(self, seq: int) -> tuple[str, list[Part]]:
        text_id = f"text-{seq}"
        return text_id, [*self._next_step(), {"type": "text-start", "id": text_id}]

    def _text_goes_on(self, text: str) -> Part:
        return {"type": "text-delta", "id": self._open, "delta": text}

    def _text_ends(self, text_id: str, *, void: bool) -> list[Part]:
        chunk: Part = {"type": "text-end", "id": text_id}
        return [{**chunk, "providerMetadata": {"sixlane": {"void": True}}} if void else chunk]

    def _next_step(self) -> list[Part]:
        """What is said after tools have answered begins a step."""
        if not self._tools_in_step:
            return []
        self._tools_in_step = False
        return [{"type": "finish-step"}, {"type": "start-step"}]

    # Tools

    def _on_tool_call(self, event: Event) -> list[Part]:
        if event.get("client"):
            self._client.append(str(event["tool_call_id"]))
        return self._announce(event, server=not event.get("client"))

    def _announce(self, event: Event, *, server: bool) -> list[Part]:
        call_id = str(event["tool_call_id"])
        if call_id in self._announced:
            return []
        self._announced.add(call_id)
        self._tools_in_step = True
        call: Part = {
            "type": "tool-input-available",
            "toolCallId": call_id,
            "toolName": event["tool"],
            "input": event["arguments"],
            "dynamic": True,
        }
        return [*self._close(), {**call, "providerExecuted": True} if server else call]

    def _on_tool_result(self, event: Event) -> list[Part]:
        call_id = str(event["tool_call_id"])
        if not self._settles(event):
            return []
        about: Part = {"toolCallId": call_id, "dynamic": True}
        if call_id not in self._client:
            about["providerExecuted"] = True
        if event["status"] == "ok":
            return [{"type": "tool-output-available", **about, "output": event.get("summary")}]
        if event["status"] == "denied":
            return [{"type": "tool-output-denied", "toolCallId": call_id}]
        return [{"type": "tool-output-error", **about, "errorText": event.get("summary") or "The call failed."}]

    def _on_approval_requested(self, event: Event) -> list[Part]:
        call_id = event.get("tool_call_id")
        if call_id is None:
            return []
        approval_id = str(event["approval_id"])
        self._asked[approval_id] = call_id
        request = {"type": "tool-approval-request", "approvalId": approval_id, "toolCallId": call_id}
        return [*self._announce(event, server=True), request]

    def _on_approval_decided(self, event: Event) -> list[Part]:
        call_id = self._asked.get(str(event["approval_id"]))
        if call_id is None or event.get("status") not in ("denied", "expired") or call_id in self._settled:
            return []
        self._settled.add(call_id)
        return [{"type": "tool-output-denied", "toolCallId": call_id}]

    def _on_approval_expired(self, event: Event) -> list[Part]:
        return self._on_approval_decided({**event, "status": "expired"})

    # Beside the answer

    def _on_context_patch(self, event: Event) -> list[Part]:
        data = {name: value for name, value in event.items() if name not in _ENVELOPE}
        return [{"type": "data-context-patch", "id": f"patch-{event['seq']}", "data": data}]

    def _on_plan_updated(self, event: Event) -> list[Part]:
        return [{"type": "data-plan", "id": "plan", "data": event["steps"]}]

    # Ends

    def _on_run_waiting(self, event: Event) -> list[Part]:
        return self._end("tool-calls") if pauses(event, background=False) else []

    def _on_run_completed(self, event: Event) -> list[Part]:
        return [*self._answer(event), *self._end("stop", usage=event.get("usage"))]

    def _on_run_failed(self, event: Event) -> list[Part]:
        if str(event.get("status_reason")).startswith("limit_"):
            return self._end("length", usage=event.get("usage"))
        self.ended = True
        return [*self._close(), {"type": "error", "errorText": event.get("detail") or "The run failed."}]

    def _on_run_cancelled(self, event: Event) -> list[Part]:
        self.ended = True
        return [*self._close(), {"type": "abort", "reason": event.get("detail") or "The run was cancelled."}]

    def _end(self, reason: str, **about: Any) -> list[Part]:
        self.ended = True
        finish: Part = {"type": "finish", "finishReason": reason}
        return [*self._close(), {"type": "finish-step"}, {**finish, "messageMetadata": about} if about else finish]


_ENVELOPE = frozenset({"type", "seq", "run_id", "conversation_id", "ts", "attempt"})
