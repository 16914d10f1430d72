"""What the scripted model server is told to do: a list of steps that travels in the prompt itself.

A step `{"obey": n}` makes the n-th list of calls that stands in what the model was given to read: a model that does
whatever a mail, a page or a webhook tells it. `orders` writes such text.
"""

import base64
import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

_SCRIPT = re.compile(r"^SCRIPT: ?(\[.*\])\s*$", re.MULTILINE)
_ORDERS = re.compile(r"OBEY:([A-Za-z0-9_=-]+)")
_DRAFT = re.compile(r'draft_id\\*": ?\\*"([A-Za-z0-9_-]+)')
_MAIL = re.compile(r'<mail id=\\*"([A-Za-z0-9_-]+)')
_MARK = re.compile(r"MARK: ?([\w.:-]+)")


@dataclass(frozen=True)
class Call:
    """A tool call that the model makes; `arguments` is the text as it goes over the wire, valid or not."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Plan:
    """What one request gets: an answer (`text`, `calls`), how it is paced, and which fault comes first."""

    marker: str
    step: int
    text: str = ""
    calls: tuple[Call, ...] = ()
    chunks: int = 4
    delay_ms: float = 0.0
    hold_s: float | None = None
    hold_after: int | None = None
    times: int | None = None
    status: int | None = None
    retry_after: float | None = None
    error: dict[str, Any] = field(default_factory=dict)
    finish: str | None = None
    cut_after: int | None = None


@dataclass(frozen=True)
class Dialogue:
    """What the server needs from a request: the last thing the user said and how often the model has spoken since."""

    prompt: str
    spoken: int
    read: str = ""


def orders(*steps: list[dict[str, Any]]) -> str:
    """Text that an obedient model carries out: calls for each of its `obey` steps.

    `$draft` and `$mail` stand for the ids of the last draft and of the last mail that was read.
    """
    return f"OBEY:{base64.urlsafe_b64encode(json.dumps(steps).encode()).decode()}"


def read_dialogue(messages: list[dict[str, Any]]) -> Dialogue:
    """The last user message that holds text (tool results do not count) and the assistant messages after it."""
    spoken = 0
    read: list[str] = []
    for message in reversed(messages):
        if message.get("role") == "tool":
            read.insert(0, _text(message.get("content")) or "")
        elif message.get("role") == "assistant":
            spoken += 1
        elif message.get("role") == "user":
            text = _text(message.get("content"))
            if text is not None:
                return Dialogue(text, spoken, "\n".join([text, *read]))
    return Dialogue("", spoken)


def system_of(messages: list[dict[str, Any]]) -> str:
    """What the model was told to be, in the form of OpenAI's messages."""
    return "".join(_text(one.get("content")) or "" for one in messages if one.get("role") in ("system", "developer"))


def plan(dialogue: Dialogue, *, chunks: int = 4) -> Plan:
    """The step that this request is at; without a script, an echo of the prompt."""
    marker = read_marker(dialogue.prompt)
    found = _SCRIPT.search(dialogue.prompt)
    if found is None:
        return Plan(marker, dialogue.spoken, text=f"You said: {dialogue.prompt}", chunks=chunks)
    steps: list[dict[str, Any]] = json.loads(found.group(1))
    if dialogue.spoken < len(steps):
        step = steps[dialogue.spoken]
    elif steps and "loop_tool" in steps[-1]:
        step = steps[-1]
    else:
        step = {"text": "The script has ended."}
    if "obey" in step:
        step = {"text": "As you wish.", "tools": _obeyed(dialogue.read, int(step["obey"]))}
    return _read_step(marker, dialogue.spoken, step)


def _obeyed(read: str, number: int) -> list[dict[str, Any]]:
    found = _ORDERS.findall(read)
    steps = json.loads(base64.urlsafe_b64decode(found[-1])) if found else []
    calls = json.dumps(steps[number] if number < len(steps) else [])
    drafts = _DRAFT.findall(read)
    mails = _MAIL.findall(read)
    calls = calls.replace("$draft", drafts[-1] if drafts else "").replace("$mail", mails[-1] if mails else "")
    return json.loads(calls)


def read_marker(prompt: str) -> str:
    """The name after the last `MARK:` of the prompt, or an empty text."""
    found = _MARK.findall(prompt)
    return found[-1] if found else ""


def _read_step(marker: str, index: int, step: dict[str, Any]) -> Plan:
    known = {"text", "chunks", "delay_ms", "hold_s", "hold_after", "times", "status", "retry_after", "error"}
    known |= {"cut_after_chunks", "tools", "bad_args", "loop_tool", "finish"}
    if unknown := step.keys() - known:
        raise ValueError(f"unknown keys in a script step: {sorted(unknown)}")
    return Plan(
        marker,
        index,
        text=step.get("text", ""),
        calls=tuple(_calls(step)),
        chunks=step.get("chunks", 4),
        delay_ms=step.get("delay_ms", 0),
        hold_s=step.get("hold_s"),
        hold_after=step.get("hold_after"),
        times=step.get("times"),
        status=step.get("status"),
        retry_after=step.get("retry_after"),
        error=step.get("error", {}),
        cut_after=step.get("cut_after_chunks"),
        finish=step.get("finish"),
    )


def _calls(step: dict[str, Any]) -> list[Call]:
    calls = [
        Call(tool.get("id") or _call_id(), tool["name"], json.dumps(tool.get("args", {})))
        for tool in step.get("tools", [])
    ]
    if loop := step.get("loop_tool"):
        calls.append(Call(_call_id(), loop["name"], json.dumps(loop.get("args", {}))))
    if bad := step.get("bad_args"):
        calls.append(Call(_call_id(), bad["name"], bad.get("raw", '{"broken": ')))
    return calls


def _call_id() -> str:
    return f"call_{secrets.token_hex(8)}"


def _text(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part["text"] for part in content if part.get("type") in ("text", "input_text")]
        return "\n".join(texts) if texts else None
    return None
