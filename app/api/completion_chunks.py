"""A run as a chat completion: whole, or as the chunks of a stream."""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.api.openai_errors import error_of
from app.models.run import Run, RunResult

Chunk = dict[str, Any]

RESTARTED = "The answer broke off and was begun anew; ask again, or read it at /runs/{}."


@dataclass(frozen=True, slots=True)
class CompletionHead:
    """What every chunk of one completion says."""

    id: str
    created: int
    model: str

    @classmethod
    def of(cls, run: Run) -> "CompletionHead":
        """The head of a run's completion."""
        return cls(f"chatcmpl-{run.id.hex}", int(run.created_at.timestamp()), run.agent)


def completion(head: CompletionHead, run: Run, result: RunResult | None, calls: list[Chunk]) -> dict[str, Any]:
    """The whole completion. `content` is the answer; what the model said on its way there is in the run."""
    text = result.text if result is not None else None
    message: Chunk = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    if calls:
        message["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_reason(run.status_reason, calls),
    }
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [choice],
        "usage": usage_of(run.usage),
    }


def finish_reason(status_reason: str | None, calls: list[Chunk]) -> str:
    """Why the answer ends where it does."""
    if calls:
        return "tool_calls"
    return "length" if (status_reason or "").startswith("limit_") else "stop"


def usage_of(usage: dict[str, Any]) -> dict[str, Any]:
    """Tokens as a completion tells them."""
    return {
        "prompt_tokens": usage.get("input_tokens", 0),
        "completion_tokens": usage.get("output_tokens", 0),
        "total_tokens": usage.get("input_tokens", 0) + usage.get("output_tokens", 0),
    }


def tool_call(call_id: str, name: str, arguments: Any) -> Chunk:
    """A call that the client carries out."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": _json(arguments)}}


@dataclass
class CompletionWriter:
    """Turns a run's events into chunks. `ended` once the last one was made; an error ends the stream too."""

    head: CompletionHead
    run_id: UUID
    ended: bool = False
    failed: bool = False
    _begun: bool = False
    _open: str = ""
    _attempt: int = 0
    _sent: bool = False
    _calls: list[Chunk] = field(default_factory=list[Chunk])

    def chunk(self, delta: Chunk, finish: str | None = None) -> Chunk:
        """One chunk."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._base(), "choices": [choice]}

    def usage(self, usage: dict[str, Any]) -> Chunk:
        """The last chunk, for a client that asked for it."""
        return {**self._base(), "choices": [], "usage": usage_of(usage)}

    def _base(self) -> Chunk:
        return {
            "id": self.head.id,
            "object": "chat.completion.chunk",
            "created": self.head.created,
            "model": self.head.model,
        }

    def feed(self, event: dict[str, Any]) -> list[Chunk]:
        """The chunks that an event becomes."""
        if self.ended:
            return []
        begin: list[Chunk] = []
        if not self._begun:
            self._begun = True
            begin = [self.chunk({"role": "assistant", "content": ""})]
        if self._open and event["attempt"] != self._attempt:
            return [*begin, self._error("answer_restarted", RESTARTED.format(self.run_id))]
        handler = getattr(self, "_on_" + event["type"].replace(".", "_"), None)
        return [*begin, *(handler(event) if handler else ())]

    def _text(self, text: str) -> list[Chunk]:
        if not text:
            return []
        gap = "\n\n" if self._sent and not self._open else ""
        self._sent = True
        self._open += text
        return [self.chunk({"content": gap + text})]

    def _on_message_delta(self, event: dict[str, Any]) -> list[Chunk]:
        self._attempt = event["attempt"]
        return self._text(event["text"])

    def _on_message_completed(self, event: dict[str, Any]) -> list[Chunk]:
        whole: str = event["text"]
        self._attempt = event["attempt"]
        if not whole.startswith(self._open):
            return [self._error("answer_restarted", RESTARTED.format(self.run_id))]
        chunks = self._text(whole[len(self._open) :])
        self._open = ""
        return chunks

    def _on_run_snapshot(self, event: dict[str, Any]) -> list[Chunk]:
        return self._on_message_completed({**event, "text": event["text"] or self._open})

    def _on_tool_call(self, event: dict[str, Any]) -> list[Chunk]:
        if not event.get("client"):
            return []
        call = tool_call(event["tool_call_id"], event["tool"], event["arguments"])
        self._calls.append(call)
        return [self.chunk({"tool_calls": [{"index": len(self._calls) - 1, **call}]})]

    def _on_run_waiting(self, event: dict[str, Any]) -> list[Chunk]:
        approvals: list[str] = event.get("approval_ids") or []
        if approvals:
            return [self._error("approval_required", approval_text(self.run_id, approvals))]
        if not self._calls:
            return []
        return self._end("tool_calls")

    def _on_run_completed(self, event: dict[str, Any]) -> list[Chunk]:
        result: dict[str, Any] = event.get("result") or {}
        text: str = result.get("text") or ""
        return [*([] if self._sent else self._text(text)), *self._end("stop")]

    def _on_run_failed(self, event: dict[str, Any]) -> list[Chunk]:
        reason = str(event.get("status_reason") or "failed")
        if reason.startswith("limit_"):
            return self._end("length")
        return [self._error(reason, event.get("detail") or "The run failed.")]

    def _on_run_cancelled(self, event: dict[str, Any]) -> list[Chunk]:
        return [self._error("run_cancelled", event.get("detail") or "The run was cancelled.")]

    def _end(self, reason: str) -> list[Chunk]:
        self.ended = True
        return [self.chunk({}, reason)]

    def _error(self, code: str, detail: str) -> Chunk:
        self.ended = self.failed = True
        return {"error": error_of(500, code, detail, {"run_id": str(self.run_id)})}


def approval_text(run_id: UUID, approval_ids: list[str]) -> str:
    """What to tell a client that has no word for approvals."""
    ids = ", ".join(approval_ids)
    return (
        f"A person must decide before this goes on (approval {ids}): POST /approvals/{{id}}/decision. "
        f"The answer is then at GET /runs/{run_id}."
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
