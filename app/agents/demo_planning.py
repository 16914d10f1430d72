"""The demo model's rule for orders that name times: "every weekday at 8:00, …" is proposed as a scheduled task."""

import re
from typing import NamedTuple

from pydantic_ai.messages import ModelMessage, ToolCallPart
from pydantic_ai.models.function import AgentInfo

from app.agents.demo_turn import Move, last_turn

_TOOL = "propose_task"
_DAYS = {
    "day": "*",
    "morning": "*",
    "weekday": "1-5",
    "sunday": "0",
    "monday": "1",
    "tuesday": "2",
    "wednesday": "3",
    "thursday": "4",
    "friday": "5",
    "saturday": "6",
}
_DAILY = re.compile(
    rf"\b(?:every|each)\s+({'|'.join(_DAYS)})\s+at\s+([01]?[0-9]|2[0-3])(?::([0-5][0-9]))?(?:\s+o'clock)?(?![\w:])",
    re.IGNORECASE,
)
_STEP = re.compile(r"\bevery\s+([1-9][0-9]{0,3})\s+(minute|hour|day)s?\b", re.IGNORECASE)
_ZONE = re.compile(
    r"\s*[(,]?\s*(?:in\s+|,\s*)?\b([A-Z][A-Za-z]+/[A-Z][A-Za-z_]+(?:/[A-Z][A-Za-z_]+)?|UTC)\b(?:\s+time)?\)?"
)
_LEAD = re.compile(r"^(?:please\b|propose\s+a\s+task\b|remind\s+me\s+to\b|[\s,:;.-])+", re.IGNORECASE)


class _When(NamedTuple):
    """A schedule in the words of the tool, and the prompt without it."""

    schedule: dict[str, str]
    rest: str


def rule(messages: list[ModelMessage], info: AgentInfo) -> Move | None:
    """Propose a task where the prompt says when and what; None where one of the two is missing."""
    turn = last_turn(messages)
    if turn.results or not any(tool.name == _TOOL for tool in info.function_tools):
        return None
    when = _when(turn.prompt)
    if when is None:
        return None
    zone = _ZONE.search(when.rest)
    rest = when.rest[: zone.start()] + when.rest[zone.end() :] if zone else when.rest
    what = re.sub(r"\s+(?=[.?!])", "", _LEAD.sub("", rest)).strip(" ,;:-")
    if len(what) < 4:
        return None
    order = f"{what[0].upper()}{what[1:]}"
    schedule = {**when.schedule, "timezone": zone[1] if zone else "UTC"}
    return [ToolCallPart(_TOOL, {"title": order[:80], "prompt": order, "when": schedule})]


def _when(prompt: str) -> _When | None:
    daily = _DAILY.search(prompt)
    if daily is not None:
        cron = f"{int(daily[3] or 0)} {int(daily[2])} * * {_DAYS[daily[1].lower()]}"
        return _When({"cron": cron}, prompt[: daily.start()] + prompt[daily.end() :])
    step = _STEP.search(prompt)
    if step is None:
        return None
    return _When({"every": f"{step[1]}{step[2][0].lower()}"}, prompt[: step.start()] + prompt[step.end() :])
