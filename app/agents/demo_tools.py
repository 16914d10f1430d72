"""The demo model's rule for tools: call those that a prompt's words and values speak for, and tell what they gave."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_ai.messages import ModelMessage, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo
from pydantic_ai.tools import ToolDefinition

from app.agents.demo_arguments import arguments_for
from app.agents.demo_turn import LABEL, Move, last_turn

_COMMON = """
a about an and any are as at be by can data do for from give given gives go has have how i in is it its json keep me my
not of on one or out please show tell text that the their there they this to up use was what when which who why will
with you your answer person later same named conversations
"""
_STOP = frozenset(_COMMON.split())
_ENOUGH = 3.0
_MOST_CALLS = 3
_DELEGATE = "delegate"
"""Whoever asks for another agent wants that one to do the work."""

_TIME = re.compile(
    r"\b(?:which|what)\s+(?:day|date|time|weekday|month|year)\s+(?:is|do\s+we\s+have)\b"
    r"|\bwhat(?:'s|\s+is)\s+(?:the\s+)?(?:current\s+|local\s+|exact\s+)?(?:day|date|time|weekday)\b"
    r"|\b(?:today's|the\s+current)\s+(?:day|date|time|weekday)\b|\b(?:tell|give|show)\s+me\s+the\s+(?:date|time|day)\b"
    r"|\bwhat(?:'s|\s+is)\s+today\b|\bdate\s+and\s+time\b|\btime\s+in\s+[A-Z]\w+/",
    re.IGNORECASE,
)
_ASKED_FOR: Mapping[str, re.Pattern[str]] = {"current_time": _TIME}
"""Tools whose words stand in too many questions: only these ask for them."""


def rule(messages: list[ModelMessage], info: AgentInfo) -> Move | None:
    """Call what the prompt speaks for; once there are results, tell them."""
    turn = last_turn(messages)
    if turn.results:
        return _report(turn.results)
    return _calls(turn.prompt, info.function_tools) or None


def _calls(prompt: str, tools: Sequence[ToolDefinition]) -> list[ToolCallPart]:
    scored: list[tuple[float, ToolCallPart]] = []
    for tool in tools:
        found = arguments_for(prompt, tool.parameters_json_schema)
        if found is None:
            continue
        score = _overlap(prompt, tool) + _ENOUGH * found.telling
        if score >= _ENOUGH:
            scored.append((score, ToolCallPart(tool.name, found.values)))
    handed_on = [call for _, call in scored if call.tool_name == _DELEGATE]
    if handed_on:
        return handed_on
    scored.sort(key=lambda pair: -pair[0])
    return [call for _, call in scored[:_MOST_CALLS]]


def _overlap(prompt: str, tool: ToolDefinition) -> float:
    asked = _ASKED_FOR.get(tool.name)
    if asked is not None:
        return _ENOUGH if asked.search(prompt.replace("\u2019", "'")) else 0.0
    said = _stems(prompt)
    named = _stems(tool.name.replace("_", " "))
    described = _stems((tool.description or "").partition("\n")[0]) - named
    return 3.0 * len(said & named) + 1.5 * len(said & described)


def _stems(text: str) -> set[str]:
    return {word[:6] for word in re.findall(r"[a-z]{3,}", text.lower()) if word not in _STOP}


def _report(results: Sequence[ToolReturnPart]) -> str:
    lines = [f"- {part.tool_name}: {_shown(part)}" for part in results]
    return "\n".join([f"{LABEL} here is what the tools gave.", *lines])


def _shown(part: ToolReturnPart) -> str:
    content: Any = part.content
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
    return text if len(text) <= 1500 else f"{text[:1500]} …"
