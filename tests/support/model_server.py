"""A scripted model provider on loopback: OpenAI chat completions and Anthropic messages, JSON and streamed.

The script travels in the prompt, so the server keeps no state but fault counters and a log. The last user message
holds a line `SCRIPT: [step, …]`; the step is the number of assistant messages after it. A line `MARK: name` names
the request in the log. A step answers with any of

    {"text": "…", "chunks": 4, "delay_ms": 5}       text in pieces, a pause before each
    {"tools": [{"name": "…", "args": {…}}]}         tool calls (with "text" too, if wanted)
    {"bad_args": {"name": "…", "raw": "{"}}         a tool call whose arguments are no JSON
    {"loop_tool": {"name": "…", "args": {…}}}       this step and all later ones call the tool
and may carry
    "hold_s": 5, "hold_after": 2                    stop after 2 frames for 5 s or until POST /_release?marker=…
    "status": 429, "retry_after": 1, "error": {…}   answer with an error
    "cut_after_chunks": 2                           break the connection off after 2 frames
    "finish": "content_filter"                      the finish reason, in the provider's own word
    "times": 1                                      only the first time; afterwards the plain answer of the step

Without a script the prompt is echoed, or `--answer` is given from ready-made bytes (for benchmarks).
With `window` a request of more tokens is refused, as OpenAI does; a token is four bytes.
Doors of its own: GET /_log, /_state, /_wait?marker=&step=&phase=&count=; POST /_release, /_reset.
"""

import argparse
import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from support.loopback import Loopback, in_thread, process, serve_and_announce
from support.model_script import Plan, plan, read_dialogue, system_of
from support.model_wire import Protocol, body, error_body, frames
from support.request_log import Entry, RequestLog, read_body, send_bytes, send_json

_PATHS: dict[str, Protocol] = {
    "/v1/chat/completions": "openai",
    "/chat/completions": "openai",
    "/v1/messages": "anthropic",
}
_RAW_MARK = re.compile(rb"MARK: ?([\w.:-]+)")
_STREAM = re.compile(rb'"stream": ?true')


class ModelServer:
    """The ASGI application; `log` is there for tests in the same process."""

    def __init__(
        self, *, answer: str | None = None, chunks: int = 4, latency_ms: float = 0.0, window: int | None = None
    ) -> None:
        self.log = RequestLog()
        self._window = window
        self._chunks = chunks
        self._latency = latency_ms / 1000
        self._ready: dict[tuple[Protocol, bool], list[bytes]] = {}
        if answer is not None:
            self._prepare(Plan("", 0, text=answer, chunks=chunks))

    def _prepare(self, ready: Plan) -> None:
        for protocol in set(_PATHS.values()):
            self._ready[(protocol, False)] = [body(protocol, ready, "bench", 400)]
            self._ready[(protocol, True)] = frames(protocol, ready, "bench", 400)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path: str = scope["path"]
        protocol = _PATHS.get(path)
        if protocol is None:
            await self._own_door(scope, send)
            return
        try:
            raw = await read_body(receive)
        except ConnectionAbortedError:
            return  # the client left before it had asked
        if self._ready and b"SCRIPT:" not in raw:
            await self._plain(protocol, raw, send)
        else:
            await self._scripted(protocol, raw, receive, send)

    async def _own_door(self, scope: Any, send: Any) -> None:
        if scope["path"].endswith("/models"):
            models = [{"id": "scripted", "object": "model", "created": 0, "owned_by": "tests"}]
            await send_json(send, 200, {"object": "list", "data": models})
            return
        answer = await self.log.answer(scope["path"], scope["query_string"])
        await send_json(send, 404 if answer is None else 200, answer or {"error": {"message": "no such path"}})

    async def _plain(self, protocol: Protocol, raw: bytes, send: Any) -> None:
        stream = _STREAM.search(raw) is not None
        marks = _RAW_MARK.findall(raw)
        entry = self.log.open(marks[-1].decode() if marks else "", stream=stream)
        if self._latency:
            await asyncio.sleep(self._latency)
        ready = self._ready[(protocol, stream)]
        if not stream:
            await send_bytes(send, 200, ready[0])
        else:
            await _start_stream(send)
            for frame in ready:
                await send({"type": "http.response.body", "body": frame, "more_body": True})
                if entry.first_byte is None:
                    await self.log.move(entry, "streaming")
            await send({"type": "http.response.body", "body": b""})
        await self.log.move(entry, "finished", "finished")

    async def _scripted(self, protocol: Protocol, raw: bytes, receive: Any, send: Any) -> None:
        request = json.loads(raw)
        messages: list[dict[str, Any]] = request["messages"]
        try:
            now = plan(read_dialogue(messages), chunks=self._chunks)
        except (ValueError, KeyError) as error:
            await send_json(send, 400, {"error": {"message": f"unusable script: {error}", "code": "bad_script"}})
            return
        entry = self.log.open(
            now.marker,
            step=now.step,
            stream=bool(request.get("stream")),
            model=request.get("model", ""),
            messages=len(messages),
            tools=[call.name for call in now.calls],
            system=system_of(messages)[-400:],
        )
        due = self.log.fault_due(now.marker, now.step, now.times)
        if self._window is not None and len(raw) // 4 > self._window:
            now, due = too_long(now, self._window, len(raw) // 4), True
        if not due:
            now = replace(now, status=None, cut_after=None, hold_s=None)
        answer = _Answer(self.log, entry, now, asyncio.ensure_future(receive()), send)
        try:
            await answer.give(protocol, len(raw), self._latency)
        except ConnectionAbortedError:
            await self.log.move(entry, "finished", "aborted")
        finally:
            answer.watch.cancel()


def too_long(now: Plan, window: int, tokens: int) -> Plan:
    """The refusal of a request that the model cannot hold."""
    message = (
        f"This model's maximum context length is {window} tokens. However, your messages resulted in {tokens} tokens."
    )
    error = {
        "message": message,
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
    return replace(now, status=400, error=error, hold_s=None)


class _Answer:
    """One scripted answer on its way; `watch` is done when the client has left."""

    def __init__(self, log: RequestLog, entry: Entry, now: Plan, watch: asyncio.Future[Any], send: Any) -> None:
        self.log = log
        self.entry = entry
        self.plan = now
        self.watch = watch
        self.send = send

    async def give(self, protocol: Protocol, prompt_bytes: int, latency: float) -> None:
        """Wait, fail, stream or answer, as planned."""
        await self._pause(latency)
        if self.plan.status is not None:
            await self._fail(protocol)
        elif self.entry.stream:
            await self._stream(frames(protocol, self.plan, self.entry.model, prompt_bytes))
        else:
            await self._whole(body(protocol, self.plan, self.entry.model, prompt_bytes))

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            await asyncio.wait({self.watch}, timeout=seconds)
        if self.watch.done():
            raise ConnectionAbortedError

    async def _hold(self) -> None:
        if self.plan.hold_s is None:
            return
        before = self.entry.phase
        release = asyncio.ensure_future(self.log.held(self.plan.marker).wait())
        await self.log.move(self.entry, "holding")
        await asyncio.wait({self.watch, release}, timeout=self.plan.hold_s, return_when=asyncio.FIRST_COMPLETED)
        release.cancel()
        await self._pause(0)
        await self.log.move(self.entry, before)

    async def _fail(self, protocol: Protocol) -> None:
        await self._hold()
        status = self.plan.status or 500
        after = self.plan.retry_after
        headers = [] if after is None else [(b"retry-after", str(after).encode())]
        await send_bytes(self.send, status, error_body(protocol, self.plan), headers)
        await self.log.move(self.entry, "finished", str(status))

    async def _whole(self, content: bytes) -> None:
        await self._pause(self.plan.delay_ms / 1000)
        await self._hold()
        if self.plan.cut_after is not None:
            await self._break_off(content[: len(content) // 2], len(content))
        await send_bytes(self.send, 200, content)
        await self.log.move(self.entry, "finished", "finished")

    async def _stream(self, parts: list[bytes]) -> None:
        await _start_stream(self.send)
        hold_after = self.plan.hold_after if self.plan.hold_after is not None else len(parts) // 2
        for number, part in enumerate(parts):
            if number == hold_after:
                await self._hold()
            if number == self.plan.cut_after:
                await self._break_off(b"")
            await self._pause(self.plan.delay_ms / 1000)
            await self.send({"type": "http.response.body", "body": part, "more_body": True})
            self.entry.chunks = number + 1
            if number == 0:
                await self.log.move(self.entry, "streaming")
        await self._pause(0)
        await self.send({"type": "http.response.body", "body": b""})
        await self.log.move(self.entry, "finished", "finished")

    async def _break_off(self, part: bytes, length: int | None = None) -> None:
        if length is not None:
            headers = [(b"content-type", b"application/json"), (b"content-length", str(length).encode())]
            await self.send({"type": "http.response.start", "status": 200, "headers": headers})
            await self.send({"type": "http.response.body", "body": part, "more_body": True})
        await self.log.move(self.entry, "finished", "cut")
        raise ConnectionResetError  # the server drops the connection


async def _start_stream(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})


@contextmanager
def model_server(**options: Any) -> Iterator[Loopback]:
    """The server in a thread of this process; its base URL for clients is `url + "/v1"`."""
    with in_thread(ModelServer(**options)) as url:
        yield Loopback(url)


@contextmanager
def model_server_process(*options: str) -> Iterator[Loopback]:
    """The server as a process of its own (for kill tests and benchmarks)."""
    with process("support.model_server", *options) as server:
        yield server


def script(*steps: dict[str, Any], mark: str = "", say: str = "") -> str:
    """A prompt that makes the server go through these steps."""
    lines = [say, f"MARK: {mark}" if mark else "", f"SCRIPT: {json.dumps(list(steps))}"]
    return "\n".join(line for line in lines if line)


def main() -> None:
    """Command line: `python -m support.model_server --port 0`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--answer", help="answer every prompt without a script with this text, from ready-made bytes")
    parser.add_argument("--chunks", type=int, default=4)
    given = parser.parse_args()
    app = ModelServer(answer=given.answer, chunks=given.chunks, latency_ms=given.latency_ms)
    serve_and_announce(app, given.port)


if __name__ == "__main__":
    main()
