"""The scripted model server does what its script says, so that other tests can rely on it."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping

import httpx
import pytest
from support.loopback import Loopback
from support.model_server import model_server, model_server_process, script
from support.receiver import receiver


@pytest.fixture
def server() -> Iterator[Loopback]:
    with model_server() as running:
        yield running


def chat(prompt: str, *later: Mapping[str, object], stream: bool = False) -> dict[str, object]:
    return {"model": "m", "stream": stream, "messages": [{"role": "user", "content": prompt}, *later]}


def ask(server: Loopback, request: dict[str, object]) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/chat/completions", json=request, timeout=10)


def test_goes_through_the_steps_by_assistant_messages(server: Loopback) -> None:
    prompt = script({"tools": [{"name": "clock", "args": {"zone": "UTC"}}]}, {"text": "done"}, mark="a1")
    first = ask(server, chat(prompt)).json()["choices"][0]
    assert first["finish_reason"] == "tool_calls"
    assert first["message"]["tool_calls"][0]["function"] == {"name": "clock", "arguments": '{"zone": "UTC"}'}
    second = ask(server, chat(prompt, {"role": "assistant", "content": None}, {"role": "tool", "content": "12:00"}))
    assert second.json()["choices"][0]["message"]["content"] == "done"
    assert [(e["marker"], e["step"], e["outcome"]) for e in server.log()] == [
        ("a1", 0, "finished"),
        ("a1", 1, "finished"),
    ]


def test_streams_in_chunks_with_usage(server: Loopback) -> None:
    request = chat(script({"text": "one two three four", "chunks": 3}), stream=True)
    lines = [line for line in ask(server, request).text.splitlines() if line]
    assert lines[-1] == "data: [DONE]"
    frames = [json.loads(line[6:]) for line in lines[:-1]]
    text = [f["choices"][0]["delta"].get("content") for f in frames if f["choices"]]
    assert "".join(t for t in text if t) == "one two three four"
    assert frames[-1]["usage"]["completion_tokens"] > 0


def test_faults_happen_as_often_as_told(server: Loopback) -> None:
    prompt = script({"status": 429, "retry_after": 1, "times": 1, "text": "fine"}, mark="f")
    refused = ask(server, chat(prompt))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert ask(server, chat(prompt)).json()["choices"][0]["message"]["content"] == "fine"


@pytest.mark.parametrize("stream", [True, False])
def test_cuts_the_connection(server: Loopback, stream: bool) -> None:
    prompt = script({"text": "one two three", "cut_after_chunks": 1, "times": 1}, mark="cut")
    with pytest.raises(httpx.RemoteProtocolError):
        ask(server, chat(prompt, stream=stream))
    assert ask(server, chat(prompt, stream=stream)).status_code == 200
    assert server.wait("marker=cut&outcome=cut")


def test_holds_until_released_and_can_be_waited_for(server: Loopback) -> None:
    prompt = script({"text": "one two three", "hold_s": 20, "hold_after": 1}, mark="held")
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(ask(server, chat(prompt, stream=True))))
    thread.start()
    assert server.wait("marker=held&phase=holding")[0]["chunks"] == 1
    assert server.state()["in_flight"][0]["marker"] == "held"
    server.release("held")
    thread.join(5)
    assert answers[0].status_code == 200
    assert server.wait("marker=held&outcome=finished")


async def test_notes_a_client_that_left(server: Loopback) -> None:
    prompt = script({"text": "one two three", "hold_s": 20}, mark="left")
    async with httpx.AsyncClient() as client:
        url = f"{server.url}/v1/chat/completions"
        asking = asyncio.create_task(client.post(url, json=chat(prompt, stream=True), timeout=30))
        await asyncio.to_thread(server.wait, "marker=left&phase=holding")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert await asyncio.to_thread(server.wait, "marker=left&outcome=aborted")


def test_bad_arguments_loops_echo_and_unknown_steps(server: Loopback) -> None:
    bad = ask(server, chat(script({"bad_args": {"name": "clock"}}))).json()["choices"][0]["message"]
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(bad["tool_calls"][0]["function"]["arguments"])
    loop = script({"loop_tool": {"name": "clock"}})
    for spoken in range(3):
        turns = [{"role": "assistant", "content": "x"}] * spoken
        assert ask(server, chat(loop, *turns)).json()["choices"][0]["finish_reason"] == "tool_calls"
    assert ask(server, chat("hello")).json()["choices"][0]["message"]["content"] == "You said: hello"
    assert ask(server, chat(script({"txt": "typo"}))).status_code == 400


def test_speaks_anthropic(server: Loopback) -> None:
    prompt = script({"text": "hi", "tools": [{"name": "clock", "args": {}}]})
    request = {"model": "c", "max_tokens": 9, "messages": [{"role": "user", "content": prompt}]}
    whole = httpx.post(f"{server.url}/v1/messages", json=request).json()
    assert [block["type"] for block in whole["content"]] == ["text", "tool_use"]
    streamed = httpx.post(f"{server.url}/v1/messages", json={**request, "stream": True}).text
    assert streamed.rstrip().splitlines()[-2] == "event: message_stop"


def test_runs_as_a_process_and_answers_from_ready_bytes() -> None:
    with model_server_process("--answer", "ready made") as server:
        answer = ask(server, chat("MARK: quick\nanything")).json()
        assert answer["choices"][0]["message"]["content"] == "ready made"
        assert server.log()[0]["marker"] == "quick"
        assert ask(server, chat("anything", stream=True)).text.endswith("data: [DONE]\n\n")


def test_receiver_counts_by_key_and_marker() -> None:
    with receiver() as sink:
        for _ in range(2):
            httpx.post(f"{sink.url}/effect", json={"text": "MARK: m1"}, headers={"Idempotency-Key": "k1"})
        effects = sink.get("/_effects")
        assert effects == {"by_key": {"k1": 2}, "by_marker": {"m1": 2}}
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{sink.url}/effect?cut=1", json={})
