"""The bytes of the two chat protocols that the scripted model server speaks."""

import json
from collections.abc import Iterator
from typing import Any, Literal

from support.model_script import Plan

Protocol = Literal["openai", "anthropic"]


def pieces(plan: Plan) -> list[str]:
    """The text of the answer, cut into at most `chunks` pieces that join to it again."""
    if not plan.text:
        return []
    size = max(1, -(-len(plan.text) // max(1, plan.chunks)))
    return [plan.text[at : at + size] for at in range(0, len(plan.text), size)]


def usage(plan: Plan, prompt_bytes: int) -> tuple[int, int]:
    """Tokens in and out, counted as a quarter of the bytes: close enough, and the same each time."""
    out = len(plan.text) + sum(len(call.arguments) + len(call.name) for call in plan.calls)
    return max(1, prompt_bytes // 4), max(1, out // 4)


def body(protocol: Protocol, plan: Plan, model: str, prompt_bytes: int) -> bytes:
    """The whole answer as one JSON document."""
    render = _openai_body if protocol == "openai" else _anthropic_body
    return json.dumps(render(plan, model, *usage(plan, prompt_bytes))).encode()


def frames(protocol: Protocol, plan: Plan, model: str, prompt_bytes: int) -> list[bytes]:
    """The answer as server-sent events, one element per frame."""
    render = _openai_frames if protocol == "openai" else _anthropic_frames
    return list(render(plan, model, *usage(plan, prompt_bytes)))


def error_body(protocol: Protocol, plan: Plan) -> bytes:
    """The error document of the provider."""
    error = {"message": f"scripted {plan.status}", "type": "scripted_error", "code": None, **plan.error}
    return json.dumps({"type": "error", "error": error} if protocol == "anthropic" else {"error": error}).encode()


def _openai_body(plan: Plan, model: str, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": plan.text or None}
    if plan.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in plan.calls
        ]
    finish = plan.finish or ("tool_calls" if plan.calls else "stop")
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": _openai_usage(tokens_in, tokens_out),
    }


def _openai_usage(tokens_in: int, tokens_out: int) -> dict[str, int]:
    return {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}


def _openai_frames(plan: Plan, model: str, tokens_in: int, tokens_out: int) -> Iterator[bytes]:
    head = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": model,
    }

    def frame(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"

    for number, piece in enumerate(pieces(plan)):
        yield frame({"role": "assistant", "content": piece} if number == 0 else {"content": piece})
    for number, call in enumerate(plan.calls):
        function = {"name": call.name, "arguments": call.arguments}
        yield frame({"tool_calls": [{"index": number, "id": call.id, "type": "function", "function": function}]})
    yield frame({}, plan.finish or ("tool_calls" if plan.calls else "stop"))
    tail = {**head, "choices": [], "usage": _openai_usage(tokens_in, tokens_out)}
    yield b"data: " + json.dumps(tail).encode() + b"\n\ndata: [DONE]\n\n"


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"broken": text}


def _anthropic_body(plan: Plan, model: str, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": plan.text}] if plan.text else []
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _arguments(call.arguments)}
        for call in plan.calls
    ]
    return {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": plan.finish or ("tool_use" if plan.calls else "end_turn"),
        "stop_sequence": None,
        "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out},
    }


def _anthropic_frames(plan: Plan, model: str, tokens_in: int, tokens_out: int) -> Iterator[bytes]:
    def frame(kind: str, **data: Any) -> bytes:
        return f"event: {kind}\n".encode() + b"data: " + json.dumps({"type": kind, **data}).encode() + b"\n\n"

    start = {**_anthropic_body(plan, model, tokens_in, 1), "content": [], "stop_reason": None}
    yield frame("message_start", message=start)
    index = 0
    if plan.text:
        yield frame("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for piece in pieces(plan):
            yield frame("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
        yield frame("content_block_stop", index=0)
        index = 1
    for call in plan.calls:
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield frame("content_block_start", index=index, content_block=block)
        delta = {"type": "input_json_delta", "partial_json": call.arguments}
        yield frame("content_block_delta", index=index, delta=delta)
        yield frame("content_block_stop", index=index)
        index += 1
    reason = plan.finish or ("tool_use" if plan.calls else "end_turn")
    out = {"output_tokens": tokens_out}
    yield frame("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=out)
    yield frame("message_stop")
