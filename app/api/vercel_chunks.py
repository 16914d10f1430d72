"""A run as the UI message stream (version 1) that the Vercel AI SDK reads."""

from dataclasses import dataclass, field
from typing import Any

from app.api.response_events import pauses

Chunk = dict[str, Any]
Event = dict[str, Any]


@dataclass
class VercelWriter:
    """Feed it every event of a run; it gives the chunks of those after `after`. Ids follow from the events alone."""

    run_id: str
    conversation_id: str
    after: int = 0
    ended: bool = False
    _begun: bool = False
    _open: str = ""
    _said: str = ""
    _attempt: int = 0
    _spoke: bool = False
    _tools_in_step: bool = False
    _client: set[str] = field(default_factory=set[str])
    _announced: set[str] = field(default_factory=set[str])
    _settled: set[str] = field(default_factory=set[str])
    _asked: dict[str, str] = field(default_factory=dict[str, str])

    def feed(self, event: Event) -> list[Chunk]:
        """The chunks that an event becomes."""
        if self.ended:
            return []
        chunks: list[Chunk] = []
        if self._open and event["attempt"] != self._attempt:
            chunks += self._close(void=True)
        handler = getattr(self, "_on_" + event["type"].replace(".", "_"), None)
        if handler is not None:
            chunks += handler(event)
        if event["seq"] <= self.after:
            self.ended = False
            return []
        if self._begun:
            return chunks
        self._begun = True
        about = {"runId": self.run_id, "conversationId": self.conversation_id}
        return [{"type": "start", "messageId": self.run_id, "messageMetadata": about}, {"type": "start-step"}, *chunks]

    # Text

    def _on_message_delta(self, event: Event) -> list[Chunk]:
        self._attempt = event["attempt"]
        return self._text(event["text"], event["seq"])

    def _text(self, text: str, seq: int) -> list[Chunk]:
        if not text:
            return []
        chunks: list[Chunk] = []
        if not self._open:
            chunks += self._next_step()
            self._open, self._said = f"text-{seq}", ""
            chunks.append({"type": "text-start", "id": self._open})
        self._said += text
        self._spoke = True
        return [*chunks, {"type": "text-delta", "id": self._open, "delta": text}]

    def _next_step(self) -> list[Chunk]:
        """What is said after tools have answered begins a step."""
        if not self._tools_in_step:
            return []
        self._tools_in_step = False
        return [{"type": "finish-step"}, {"type": "start-step"}]

    def _close(self, *, void: bool = False) -> list[Chunk]:
        """End the open text; one that does not count is marked."""
        if not self._open:
            return []
        chunk: Chunk = {"type": "text-end", "id": self._open}
        self._open = ""
        return [{**chunk, "providerMetadata": {"sixlane": {"void": True}}} if void else chunk]

    def _on_message_completed(self, event: Event) -> list[Chunk]:
        whole: str = event["text"]
        self._attempt = event["attempt"]
        chunks: list[Chunk] = []
        if self._open and not whole.startswith(self._said):
            chunks = self._close(void=True)
        said = self._said if self._open else ""
        return [*chunks, *self._text(whole[len(said) :], event["seq"]), *self._close()]

    def _on_run_snapshot(self, event: Event) -> list[Chunk]:
        chunks = self._close(void=True)
        self._attempt = event["attempt"]
        return [*chunks, *self._text(event["text"], event["seq"])]

    # Tools

    def _on_tool_call(self, event: Event) -> list[Chunk]:
        if event.get("client"):
            self._client.add(str(event["tool_call_id"]))
        return self._announce(event, server=not event.get("client"))

    def _announce(self, event: Event, *, server: bool) -> list[Chunk]:
        call_id = str(event["tool_call_id"])
        if call_id in self._announced:
            return []
        self._announced.add(call_id)
        self._tools_in_step = True
        call: Chunk = {
            "type": "tool-input-available",
            "toolCallId": call_id,
            "toolName": event["tool"],
            "input": event["arguments"],
            "dynamic": True,
        }
        return [*self._close(), {**call, "providerExecuted": True} if server else call]

    def _on_tool_result(self, event: Event) -> list[Chunk]:
        call_id = str(event["tool_call_id"])
        if call_id in self._settled or call_id not in self._announced or (call_id in self._client and self.after):
            return []  # what a client has answered it knows better than the summary
        self._settled.add(call_id)
        about: Chunk = {"toolCallId": call_id, "dynamic": True}
        if call_id not in self._client:
            about["providerExecuted"] = True
        if event["status"] == "ok":
            return [{"type": "tool-output-available", **about, "output": event.get("summary")}]
        if event["status"] == "denied":
            return [{"type": "tool-output-denied", "toolCallId": call_id}]
        return [{"type": "tool-output-error", **about, "errorText": event.get("summary") or "The call failed."}]

    def _on_approval_requested(self, event: Event) -> list[Chunk]:
        call_id = event.get("tool_call_id")
        if call_id is None:
            return []
        approval_id = str(event["approval_id"])
        self._asked[approval_id] = call_id
        request = {"type": "tool-approval-request", "approvalId": approval_id, "toolCallId": call_id}
        return [*self._announce(event, server=True), request]

    def _on_approval_decided(self, event: Event) -> list[Chunk]:
        call_id = self._asked.get(str(event["approval_id"]))
        if call_id is None or event.get("status") not in ("denied", "expired") or call_id in self._settled:
            return []
        self._settled.add(call_id)
        return [{"type": "tool-output-denied", "toolCallId": call_id}]

    def _on_approval_expired(self, event: Event) -> list[Chunk]:
        return self._on_approval_decided({**event, "status": "expired"})

    # Beside the answer

    def _on_context_patch(self, event: Event) -> list[Chunk]:
        data = {name: value for name, value in event.items() if name not in _ENVELOPE}
        return [{"type": "data-context-patch", "id": f"patch-{event['seq']}", "data": data}]

    def _on_plan_updated(self, event: Event) -> list[Chunk]:
        return [{"type": "data-plan", "id": "plan", "data": event["steps"]}]

    # Ends

    def _on_run_waiting(self, event: Event) -> list[Chunk]:
        return self._end("tool-calls") if pauses(event, background=False) else []

    def _on_run_completed(self, event: Event) -> list[Chunk]:
        result: dict[str, Any] = event.get("result") or {}
        text = "" if self._spoke else result.get("text") or ""
        return [*self._text(text, event["seq"]), *self._end("stop", usage=event.get("usage"))]

    def _on_run_failed(self, event: Event) -> list[Chunk]:
        if str(event.get("status_reason")).startswith("limit_"):
            return self._end("length", usage=event.get("usage"))
        self.ended = True
        return [*self._close(), {"type": "error", "errorText": event.get("detail") or "The run failed."}]

    def _on_run_cancelled(self, event: Event) -> list[Chunk]:
        self.ended = True
        return [*self._close(), {"type": "abort", "reason": event.get("detail") or "The run was cancelled."}]

    def _end(self, reason: str, **about: Any) -> list[Chunk]:
        self.ended = True
        finish: Chunk = {"type": "finish", "finishReason": reason}
        return [*self._close(), {"type": "finish-step"}, {**finish, "messageMetadata": about} if about else finish]


_ENVELOPE = frozenset({"type", "seq", "run_id", "conversation_id", "ts", "attempt"})
