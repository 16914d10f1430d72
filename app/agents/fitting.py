"""Fitting a conversation into a model's window: sizes, rates, and where a history may be cut. Pure functions.

There is no tokenizer: a message is measured in bytes, and the rate of tokens per byte is learned from what the
provider counted for the last request.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pydantic_core
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

SENT_BYTES = "sent_bytes"
"""The mark of a response whose request did not hold all that is before it: how many bytes that was."""

USUAL_RATE = 0.34
"""Tokens per byte before any is counted: more than English takes, about what JSON and Chinese take."""

LEAST_RATE, MOST_RATE = 0.1, 1.0
ENOUGH_BYTES = 2_000
"""Smaller requests say more of what every request holds than of the text."""

PART_BYTES = 16
FILE_BYTES = 4_000


def size_of(message: ModelMessage) -> int:
    """The bytes of what a message says, and a little for each part."""
    return sum(PART_BYTES + _part_bytes(part) for part in message.parts)


def _part_bytes(part: Any) -> int:
    if isinstance(part, ToolCallPart):
        return len(part.tool_name) + _bytes(part.args)
    return _bytes(getattr(part, "content", None))


def _bytes(content: Any) -> int:
    if content is None:
        return 0
    if isinstance(content, str):
        return len(content) if content.isascii() else len(content.encode(errors="replace"))
    if isinstance(content, list | tuple):
        return sum(_bytes(item) if isinstance(item, str | dict) else FILE_BYTES for item in content)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return len(pydantic_core.to_json(content, serialize_unknown=True, inf_nan_mode="constants"))


def rate_of(messages: Sequence[ModelMessage], overhead: int) -> float:
    """Tokens per byte, by what the provider counted for the last response; `overhead` bytes go with every request."""
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        if isinstance(message, ModelResponse) and message.usage.input_tokens > 0:
            marked = (message.metadata or {}).get(SENT_BYTES)
            sent = int(marked) if marked else overhead + sum(size_of(one) for one in messages[:at])
            if sent < ENOUGH_BYTES:
                return USUAL_RATE
            return min(max(message.usage.input_tokens / sent, LEAST_RATE), MOST_RATE)
    return USUAL_RATE


def answers_calls(message: ModelMessage) -> bool:
    """Whether the message holds results of tool calls."""
    return isinstance(message, ModelRequest) and any(
        isinstance(part, ToolReturnPart) or (part.part_kind == "retry-prompt" and bool(part.tool_name))
        for part in message.parts
    )


def may_begin(messages: Sequence[ModelMessage], at: int) -> bool:
    """Whether what is sent may begin at this place: no result without its call."""
    return not answers_calls(messages[at])


def cut_for(messages: Sequence[ModelMessage], first: int, most: int, budget: int, keep: int | None = None) -> int:
    """The earliest place from `first` on, at most `most`, from which the rest fits into `budget` bytes and `keep`.

    Where nothing fits, the latest place that may begin; `first` when there is none.
    """
    total, found = 0, first
    for at in range(len(messages) - 1, first - 1, -1):
        total += size_of(messages[at])
        if at > most or not may_begin(messages, at):
            continue
        fits = total <= budget and (keep is None or len(messages) - at <= keep)
        if not fits and found != first:
            break
        found = at
        if not fits:
            break
    return found


def last_prompt(messages: Sequence[ModelMessage]) -> str | None:
    """The last thing that the person said among these, as text."""
    for message in reversed(messages):
        if isinstance(message, ModelRequest):
            said = [part.content for part in message.parts if isinstance(part, UserPromptPart)]
            texts = [content for content in said if isinstance(content, str)]
            if texts:
                return "\n".join(texts)
    return None


@dataclass(frozen=True, slots=True)
class Lead:
    """What stands for messages that are left out: their summary, if there is one."""

    summary: str | None = None

    def message(self, left: Sequence[ModelMessage], kept: Sequence[ModelMessage]) -> ModelRequest | None:
        """The message before the kept ones; None where they can stand alone."""
        pieces: list[str] = []
        if self.summary is not None:
            text = self.summary.replace("</summary", "</ summary")
            pieces.append(
                f"Summary of the conversation so far; its messages are left out.\n<summary>\n{text}\n</summary>"
            )
        if last_prompt(kept) is None and (prompt := last_prompt(left)) is not None:
            pieces.append(f"What the person said last, word for word:\n{prompt}")
        return ModelRequest(parts=[UserPromptPart(content="\n\n".join(pieces))]) if pieces else None


def clipped(message: ModelMessage, most: int) -> ModelMessage:
    """The message with every text of a tool, and every text said, cut to `most` bytes; for one request only."""
    if size_of(message) <= most:
        return message
    parts: list[Any] = []
    for part in message.parts:
        if isinstance(part, ToolReturnPart | TextPart | UserPromptPart) and _part_bytes(part) > most:
            whole = part.content if isinstance(part.content, str) else pydantic_core.to_json(part.content).decode()
            parts.append(replace(part, content=clip(whole, most)))
        else:
            parts.append(part)
    return replace(message, parts=parts)


def clip(text: str, most: int) -> str:
    """At most about `most` bytes of a text, and how much is missing."""
    raw = text.encode(errors="replace")
    if len(raw) <= most:
        return text
    kept = raw[: max(most - 60, 0)].decode(errors="ignore")
    return f"{kept}\n[… {len(raw) - len(kept.encode())} bytes left out …]"


def transcript(messages: Sequence[ModelMessage], most: int) -> list[str]:
    """The messages as text to be read, one piece for each part, none longer than `most` bytes."""
    return [clip(line, most) for message in messages for part in message.parts if (line := _line(message, part))]


def _line(message: ModelMessage, part: Any) -> str:
    if isinstance(part, UserPromptPart):
        content = part.content if isinstance(part.content, str) else [c for c in part.content if isinstance(c, str)]
        return f"Person: {content if isinstance(content, str) else ' '.join(content)}"
    if isinstance(part, TextPart):
        return f"Assistant: {part.content}"
    if isinstance(part, ToolCallPart):
        return f"Assistant calls {part.tool_name}: {part.args_as_json_str()}"
    if isinstance(part, ToolReturnPart):
        return f"{part.tool_name} answers: {part.model_response_str()}"
    return ""


def chunks(lines: Sequence[str], most: int) -> list[str]:
    """The lines joined into texts of at most `most` bytes each."""
    found: list[list[str]] = [[]]
    size = 0
    for line in lines:
        length = len(line.encode(errors="replace")) + 1
        if found[-1] and size + length > most:
            found.append([])
            size = 0
        found[-1].append(line)
        size += length
    return ["\n".join(group) for group in found if group]
