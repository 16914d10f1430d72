"""A run as a response of OpenAI's Responses API: the events of its stream, and the document that they add up to.

A run that waits for its client or for a person ends one response; what follows is the next one. So a response covers
a segment of the run's events, and is the same whenever it is made from them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
Item = dict[str, Any]

SERVER = "sixlane"
"""The label of tools that the server calls itself."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What is known of a response before its first event. `fields` are further members of the document."""

    id: str
    run: str
    created_at: int
    segment: int = 1
    background: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])


def pauses(event: Event, *, background: bool) -> bool:
    """Whether this event ends a response. One in the background goes on while only a person is asked."""
    if event["type"] != "run.waiting":
        return False
    asks_client = any(one.get("type") == "client_tool" for one in event.get("waiting_on") or ())
    return asks_client or (bool(event.get("approval_ids")) and not background)


@dataclass
class ResponseWriter:
    """Feed it every event of the run from the first; it gives the stream's events of its own segment."""

    head: ResponseHead
    ended: bool = False
    begun: bool = False
    status: str = "queued"
    output: list[Item] = field(default_factory=list[Item])
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    incomplete: dict[str, Any] | None = None
    _number: int = 0
    _index: int = 0
    _segment: int = 1
    _open: Item | None = None
    _place: int = 0
    _attempt: int = 0
    _calls: dict[str, tuple[int, Item]] = field(default_factory=dict[str, tuple[int, Item]])
    _asked: dict[str, str] = field(default_factory=dict[str, str])

    def document(self) -> dict[str, Any]:
        """The response as it stands."""
        return {
            "id": self.head.id,
            "object": "response",
            "created_at": self.head.created_at,
            "status": self.status,
            "background": self.head.background,
            "error": self.error,
            "incomplete_details": self.incomplete,
            **self.head.fields,
            "output": [dict(item) for item in self.output],
            "usage": self.usage,
        }

    def feed(self, event: Event) -> list[Event]:
        """What an event of the run becomes."""
        if self.ended:
            return []
        if self._segment != self.head.segment:
            self._remember(event)
            return []
        told = [] if self.begun else self._begin(event)
        if self._open is not None and event["attempt"] != self._attempt:
            told += self._close_text("incomplete")
        handler = getattr(self, "_on_" + event["type"].replace(".", "_"), None)
        if handler is not None:
            told += handler(event)
        return told

    def _remember(self, event: Event) -> None:
        if event["type"] == "approval.requested":
            self._asked[str(event.get("tool_call_id"))] = f"apr_{event['approval_id']}"
        self._segment += pauses(event, background=self.head.background)

    def _told(self, kind: str, **members: Any) -> Event:
        event = {"type": f"response.{kind}", "sequence_number": self._number, **members}
        self._number += 1
        return event

    def _state(self, kind: str) -> Event:
        return self._told(kind, response=self.document())

    def _begin(self, event: Event) -> list[Event]:
        self.begun = True
        self.status = "queued" if event["type"] == "run.queued" else "in_progress"
        following = [self._state("queued")] if self.status == "queued" else []
        return [self._state("created"), *following, *([] if following else [self._state("in_progress")])]

    def _on_run_started(self, event: Event) -> list[Event]:
        if self.status != "queued":
            return []
        self.status = "in_progress"
        return [self._state("in_progress")]

    # Text

    def _on_message_delta(self, event: Event) -> list[Event]:
        self._attempt = event["attempt"]
        return self._text(event["text"])

    def _text(self, text: str) -> list[Event]:
        told: list[Event] = []
        if self._open is None:
            item: Item = {"id": self._id("msg"), "type": "message", "status": "in_progress", "role": "assistant"}
            self._open, self._place = {**item, "content": [_text_part("")]}, self._index
            self._index += 1
            part = {"item_id": item["id"], "output_index": self._place, "content_index": 0, "part": _text_part("")}
            told = [
                self._told("output_item.added", output_index=self._place, item={**item, "content": []}),
                self._told("content_part.added", **part),
            ]
        self._open["content"][0]["text"] += text
        return [*told, self._told("output_text.delta", **self._where(), delta=text, logprobs=[])]

    def _where(self) -> dict[str, Any]:
        assert self._open is not None
        return {"item_id": self._open["id"], "output_index": self._place, "content_index": 0}

    def _close_text(self, status: str) -> list[Event]:
        """End the open message. One that is void stays out of the document."""
        item = self._open
        if item is None:
            return []
        where, text = self._where(), item["content"][0]["text"]
        item["status"] = status
        self._open = None
        if status == "completed":
            self.output.append(item)
        return [
            self._told("output_text.done", **where, text=text, logprobs=[]),
            self._told("content_part.done", **where, part=_text_part(text)),
            self._told("output_item.done", output_index=where["output_index"], item=item),
        ]

    def _on_message_completed(self, event: Event) -> list[Event]:
        whole: str = event["text"]
        self._attempt = event["attempt"]
        said = self._open["content"][0]["text"] if self._open else ""
        told: list[Event] = []
        if not whole.startswith(said):
            told, said = self._close_text("incomplete"), ""
        if whole[len(said) :]:
            told += self._text(whole[len(said) :])
        return [*told, *self._close_text("completed")]

    def _on_run_snapshot(self, event: Event) -> list[Event]:
        told = self._close_text("incomplete")
        self._attempt = event["attempt"]
        return [*told, *self._text(event["text"])] if event["text"] else told

    # Calls

    def _item(self, item: Item) -> list[Event]:
        """An item that is whole at once."""
        self.output.append(item)
        place, self._index = self._index, self._index + 1
        return [
            self._told("output_item.added", output_index=place, item=item),
            self._told("output_item.done", output_index=place, item=item),
        ]

    def _on_tool_call(self, event: Event) -> list[Event]:
        call_id, arguments = str(event["tool_call_id"]), _json(event["arguments"])
        if event.get("client"):
            return self._function_call(call_id, event["tool"], arguments)
        item: Item = {
            "id": call_id,
            "type": "mcp_call",
            "status": "in_progress",
            "server_label": SERVER,
            "name": event["tool"],
            "arguments": arguments,
            "approval_request_id": self._asked.get(call_id),
            "output": None,
            "error": None,
        }
        place, self._index = self._index, self._index + 1
        self._calls[call_id] = (place, item)
        self.output.append(item)
        where = {"output_index": place, "item_id": call_id}
        return [
            self._told("output_item.added", output_index=place, item=dict(item)),
            self._told("mcp_call.in_progress", **where),
            self._told("mcp_call_arguments.done", **where, arguments=arguments),
        ]

    def _function_call(self, call_id: str, name: str, arguments: str) -> list[Event]:
        item: Item = {"id": self._id("fc"), "type": "function_call", "call_id": call_id, "name": name}
        place, self._index = self._index, self._index + 1
        whole = {**item, "arguments": arguments, "status": "completed"}
        self.output.append(whole)
        where = {"item_id": item["id"], "output_index": place}
        begun = {**item, "arguments": "", "status": "in_progress"}
        return [
            self._told("output_item.added", output_index=place, item=begun),
            self._told("function_call_arguments.delta", **where, delta=arguments),
            self._told("function_call_arguments.done", **where, name=name, arguments=arguments),
            self._told("output_item.done", output_index=place, item=whole),
        ]

    def _on_tool_result(self, event: Event) -> list[Event]:
        found = self._calls.pop(str(event["tool_call_id"]), None)
        if found is None:
            return []
        place, item = found
        went_well = event["status"] == "ok"
        item["status"] = "completed" if went_well else "failed"
        item["output" if went_well else "error"] = event.get("summary")
        return [
            self._told(f"mcp_call.{item['status']}", output_index=place, item_id=item["id"]),
            self._told("output_item.done", output_index=place, item=dict(item)),
        ]

    def _on_approval_requested(self, event: Event) -> list[Event]:
        request_id = f"apr_{event['approval_id']}"
        self._asked[str(event.get("tool_call_id"))] = request_id
        item = {"id": request_id, "type": "mcp_approval_request", "server_label": SERVER, "name": event["tool"]}
        return self._item({**item, "arguments": _json(event["arguments"])})

    # Ends

    def _on_run_waiting(self, event: Event) -> list[Event]:
        if not pauses(event, background=self.head.background):
            return []
        self.usage = usage_of(event.get("usage"))
        return self._end("completed")

    def _on_run_completed(self, event: Event) -> list[Event]:
        result: dict[str, Any] = event.get("result") or {}
        told: list[Event] = []
        if result.get("text") and not any(item["type"] == "message" for item in self.output):
            told = [*self._text(result["text"]), *self._close_text("completed")]
        self.usage = usage_of(event.get("usage"))
        return [*told, *self._end("completed")]

    def _on_run_failed(self, event: Event) -> list[Event]:
        reason, detail = str(event.get("status_reason") or "failed"), event.get("detail")
        self.usage = usage_of(event.get("usage"))
        told = self._close_text("incomplete")
        if reason.startswith("limit_"):
            self.incomplete = {"reason": "max_output_tokens" if reason == "limit_tokens" else reason}
            return [*told, *self._end("incomplete")]
        self.error = {"code": reason, "message": detail or "The run failed."}
        return [*told, *self._end("failed")]

    def _on_run_cancelled(self, event: Event) -> list[Event]:
        told = self._close_text("incomplete")
        self.usage = usage_of(event.get("usage"))
        self.incomplete = {"reason": "cancelled"}
        return [*told, *self._end("cancelled")]

    def _end(self, status: str) -> list[Event]:
        self.ended, self.status = True, status
        # The protocol has no event for a cancelled response; this is the one that ends a stream early.
        return [self._state("incomplete" if status == "cancelled" else status)]

    def _id(self, kind: str) -> str:
        return f"{kind}_{self.head.run}_{self.head.segment}_{self._index}"


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def usage_of(usage: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Tokens as a response tells them: those of the whole run."""
    if usage is None:
        return None
    read, written = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
