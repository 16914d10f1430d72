"""The demo model: a few fixed rules behind the interface of a model, for first runs without any key.

It says in every answer that it is the demo model, uses tools when the words of the prompt call for one, and never
guesses: what it has no tool for, it says it cannot answer.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from pydantic_ai.tools import ToolDefinition

from app.agents.demo_arguments import arguments_for, sample

_LABEL = "Demo model:"
_COMMON = """
a about an and any are as at be by can data do for from give given gives go has have how i in is it its json keep me my
not of on one or out please show tell text that the their there they this to up use was what when which who why will
with you your answer person later same named conversations
"""
_STOP = frozenset(_COMMON.split())
_ENOUGH = 3.0
_MOST_CALLS = 3


def demo_model(pause: float = 0.01) -> FunctionModel:
    """The model. Streams word by word with `pause` seconds between two words."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        move = _decide(messages, info)
        return ModelResponse(parts=[TextPart(move)] if isinstance(move, str) else list(move))

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        move = _decide(messages, info)
        if not isinstance(move, str):
            for number, call in enumerate(move):
                arguments = call.args_as_json_str()
                yield {number: DeltaToolCall(call.tool_name, arguments, tool_call_id=call.tool_call_id)}
            return
        for word in re.findall(r"\S+\s*|\s+", move):
            yield word
            await asyncio.sleep(pause)

    return FunctionModel(answer, stream_function=stream, model_name="demo")


@dataclass(frozen=True)
class _Turn:
    """The last thing the user said, and what tools have given since."""

    prompt: str
    results: list[ToolReturnPart]


def _decide(messages: list[ModelMessage], info: AgentInfo) -> str | Sequence[ToolCallPart]:
    turn = _last_turn(messages)
    if not turn.results:
        calls = _calls(turn.prompt, info.function_tools)
        if calls:
            return calls
    if info.allow_text_output:
        return _report(turn.results) if turn.results else _cannot(turn.prompt, info.function_tools)
    output = info.output_tools[0]
    return [ToolCallPart(output.name, sample(output.parameters_json_schema, _cannot(turn.prompt, [])))]


def _last_turn(messages: list[ModelMessage]) -> _Turn:
    results: list[ToolReturnPart] = []
    for message in reversed(messages):
        if not isinstance(message, ModelRequest):
            continue
        results += [part for part in reversed(message.parts) if isinstance(part, ToolReturnPart)]
        said = [part for part in message.parts if isinstance(part, UserPromptPart)]
        if said:
            return _Turn(_text(said[-1]), results[::-1])
    return _Turn("", results[::-1])


def _text(part: UserPromptPart) -> str:
    if isinstance(part.content, str):
        return part.content
    return "\n".join(item for item in part.content if isinstance(item, str))


def _calls(prompt: str, tools: Sequence[ToolDefinition]) -> list[ToolCallPart]:
    scored: list[tuple[float, ToolCallPart]] = []
    for tool in tools:
        found = arguments_for(prompt, tool.parameters_json_schema)
        if found is None:
            continue
        score = _overlap(prompt, tool) + _ENOUGH * found.telling
        if score >= _ENOUGH:
            scored.append((score, ToolCallPart(tool.name, found.values)))
    scored.sort(key=lambda pair: -pair[0])
    return [call for _, call in scored[:_MOST_CALLS]]


def _overlap(prompt: str, tool: ToolDefinition) -> float:
    said = _stems(prompt)
    named = _stems(tool.name.replace("_", " "))
    described = _stems((tool.description or "").partition("\n")[0]) - named
    return 3.0 * len(said & named) + 1.5 * len(said & described)


def _stems(text: str) -> set[str]:
    return {word[:6] for word in re.findall(r"[a-z]{3,}", text.lower()) if word not in _STOP}


def _report(results: Sequence[ToolReturnPart]) -> str:
    lines = [f"- {part.tool_name}: {_shown(part)}" for part in results]
    return "\n".join([f"{_LABEL} here is what the tools gave.", *lines])


def _shown(part: ToolReturnPart) -> str:
    content: Any = part.content
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
    return text if len(text) <= 1500 else f"{text[:1500]} …"


def _cannot(prompt: str, tools: Sequence[ToolDefinition]) -> str:
    asked = " ".join(prompt.split())
    asked = asked if len(asked) <= 120 else f"{asked[:117]}..."
    said = f'{_LABEL} I cannot answer "{asked}" - I follow a few fixed rules and know nothing by myself.'
    if tools:
        said += f" What I can do is use these tools: {', '.join(tool.name for tool in tools)}."
    return f"{said} For real answers set OPENAI_API_KEY, ANTHROPIC_API_KEY or DEFAULT_MODEL and start again."
