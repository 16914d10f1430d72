"""`sixlane chat`: at a terminal with a person, and from a pipe."""

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.loopback import Loopback
from support.programs import SIXLANE, clean_environment
from support.serving import serving
from support.terminal import Terminal

from app.main import create_app
from tests.flows.conftest import Desk


@pytest.fixture
async def url(desk: Desk) -> AsyncGenerator[str]:
    """The application on the scripted provider at a real port, beside a worker."""
    async with serving(create_app(desk.runtime.settings)) as port:
        yield f"http://127.0.0.1:{port}"


def chat_command(url: str, folder: Path, *options: str) -> list[str]:
    return [*SIXLANE, "chat", "--url", url, "--data", str(folder), *options]


def say(*steps: dict[str, Any]) -> str:
    """A message that fits on one line and makes the scripted model do this."""
    return f"SCRIPT: {json.dumps(steps)}"


def post(number: int) -> dict[str, Any]:
    return {"tools": [{"name": "http_post", "args": {"target": "crm", "data": {"chat": number}}}]}


async def conversation(url: str, far_end: Loopback) -> str:
    parameters = {"type": "object", "properties": {"page": {"type": "string"}}}
    tool = {"name": "open_page", "description": "Open a page.", "parameters": parameters}
    target = {"name": "crm", "url": f"{far_end.url}/chat", "approval": "ask"}
    async with httpx.AsyncClient(base_url=url) as client:
        made = await client.post("/conversations", json={"targets": [target], "client_tools": [tool]})
    return made.json()["id"]


def a_tool_is_seen(terminal: Terminal) -> None:
    """A tool that needs nobody: the call, its result, the answer."""
    terminal.type(say({"tools": [{"name": "calculator", "args": {"expression": "6*7"}}]}, {"text": "It is 42."}))
    terminal.type("\n")
    terminal.expect('calculator {"expression": "6*7"} → 42')
    terminal.expect("It is 42.")


def a_call_is_allowed(terminal: Terminal) -> None:
    """A call that is asked about, and allowed once the answer is understood."""
    terminal.type(say(post(1), {"text": "Sent."}) + "\n")
    terminal.expect("http_post would like to run:")
    terminal.expect('"chat": 1')
    terminal.expect("[l]ater: ")
    terminal.type("perhaps\n")
    terminal.expect("[l]ater: ")
    terminal.type("y\n")
    terminal.expect("Sent.")


def a_call_is_edited(terminal: Terminal) -> None:
    """A call whose arguments the person changes."""
    terminal.type(say(post(2), {"text": "Sent again."}) + "\n")
    terminal.expect("[l]ater: ")
    terminal.type("e\n")
    terminal.expect('arguments: {"data": {"chat": 2}, "target": "crm"}')
    terminal.type('\x01\x0b{"target": "crm", "data": {"chat": 7}}\n')
    terminal.expect("Sent again.")


def a_call_is_put_off_and_refused(terminal: Terminal) -> None:
    """A call that is put off: nothing is sent until it is decided."""
    terminal.type(say(post(3), {"text": "As you wish."}) + "\n")
    terminal.expect("[l]ater: ")
    terminal.type("l\n")
    terminal.expect("you> ")
    terminal.type("Hello?\n")
    terminal.expect("Not sent:")
    terminal.expect("[l]ater: ")
    terminal.type("n\n")
    terminal.expect("As you wish.")


def the_application_is_asked(terminal: Terminal) -> None:
    """A tool of the application, answered by whoever sits here."""
    opening = {"tools": [{"name": "open_page", "args": {"page": "start"}}]}
    terminal.type(say(opening, {"text": "It is open."}) + "\n")
    terminal.expect("The application is asked for open_page:")
    terminal.expect("(empty: later): ")
    terminal.type('{"shown": "start"}\n')
    terminal.expect('→ {"shown":"start"}')
    terminal.expect("It is open.")


def an_answer_is_stopped(terminal: Terminal) -> None:
    """Ctrl-C in the middle of an answer."""
    terminal.type(say({"text": "\u00fcben, \u00fcben, \u00fcben", "hold_s": 30, "hold_after": 1}) + "\n")
    terminal.expect("\u00fc")  # its echo has it in ASCII
    terminal.type("\x03")
    terminal.expect("The run was cancelled.")


def lines_and_history(terminal: Terminal) -> None:
    """Two lines in one message, Ctrl-C at an empty prompt, and what was said before."""
    terminal.type('"""first\nsecond"""\n')
    terminal.expect("You said: first")
    terminal.expect("second")
    terminal.expect("you> ")
    terminal.insist("\x03", "Ctrl-D or /quit leaves")
    terminal.type("/history\n")
    terminal.expect("agent> It is 42.")
    terminal.expect("agent> You said: first")


TALK = (
    a_tool_is_seen,
    a_call_is_allowed,
    a_call_is_edited,
    a_call_is_put_off_and_refused,
    the_application_is_asked,
    an_answer_is_stopped,
    lines_and_history,
)


async def test_a_person_talks_decides_and_stops(url: str, far_end: Loopback, tmp_path: Path) -> None:
    there = await conversation(url, far_end)
    command = chat_command(url, tmp_path, "--conversation", there)

    def talk() -> None:
        with Terminal(command, cwd=tmp_path, environment=clean_environment()) as terminal:
            terminal.expect("you> ")
            for happens in TALK:
                happens(terminal)
                terminal.expect("you> ")
            terminal.type("\x04")
            terminal.expect(f"--conversation {there}")
            assert terminal.end() == 0

    await asyncio.to_thread(talk)
    sent = [one["body"] for one in far_end.log() if '"chat"' in one["body"]]
    assert sent == ['{"chat": 1}', '{"chat": 7}']


async def test_lines_of_a_pipe_are_messages(url: str, far_end: Loopback, tmp_path: Path) -> None:
    there = await conversation(url, far_end)

    async def piped(*lines: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(
            subprocess.run,
            chat_command(url, tmp_path, "--conversation", there),
            input="\n".join(lines),
            cwd=tmp_path,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    done = await piped(say({"text": "One\x1b[2J."}), "", say({"status": 400, "error": {"message": "no"}}), "Three")
    assert done.stdout == "One<001b>[2J.\nYou said: Three\n"
    assert "The run failed" in done.stderr
    assert done.returncode == 1

    done = await piped(say(post(1)), "never sent")
    assert done.stdout == ""
    assert "/approvals?status=pending" in done.stderr
    assert done.returncode == 3
