"""How the demo model finds a tool's arguments in a prompt: by the name and type of each parameter, or not at all."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

_URL = re.compile(r"https?://[^\s<>\"')]+")
_ZONE = re.compile(r"\b(?:[A-Z][A-Za-z]+/[A-Z][A-Za-z_]+(?:/[A-Z][A-Za-z_]+)?|UTC)\b")
_ARITHMETIC = re.compile(r"[\d.(][\d\s.+\-*/%^()×÷]*[+\-*/%^×÷][\d\s.+\-*/%^()×÷]*[\d)]")  # noqa: RUF001
_QUOTED = re.compile(r"[\"“”']([^\"“”']{1,500})[\"“”']")
_FACT = re.compile(r"\b(?:that|:)\s+(.{3,300}?)[.!]?\s*$", re.IGNORECASE | re.DOTALL)
_SUBJECT = re.compile(r"^(?:my|the|our|his|her)?\s*(.{1,80}?)\s+(?:is|are|was|has|have|likes?|wants?)\b", re.IGNORECASE)
_HANDED_ON = re.compile(
    r"\b(?:ask|tell|let|have|get)\s+(?:the\s+|agent\s+)*[\w-]+(?:\s+agent)?\s*(?::|,?\s+to\b)\s*(.{3,4000}?)\s*$",
    re.IGNORECASE | re.DOTALL,
)
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass
class Found:
    """Arguments for a call; `telling` weighs those that speak for this very tool."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    telling: float = 0.0


def arguments_for(prompt: str, schema: dict[str, Any]) -> Found | None:
    """Arguments that the prompt really holds, or None when a required one is not in it."""
    found = Found()
    properties = cast("dict[str, dict[str, Any]]", schema.get("properties", {}))
    required = set(cast("list[str]", schema.get("required", [])))
    for name, parameter in properties.items():
        value = _find(prompt, name, parameter)
        if value is not None:
            found.values[name] = value
            found.telling += 1.0 if "enum" in parameter else _TELLING.get(name, 0.0)
        elif name in required:
            return None
    return found


def sample(schema: dict[str, Any], text: str) -> dict[str, Any]:
    """Data of the schema's shape that holds nothing but the given text: the demo model's structured answer."""
    return cast("dict[str, Any]", _sample(schema, text))


def _find(prompt: str, name: str, parameter: dict[str, Any]) -> Any:
    if "enum" in parameter:
        words = prompt.lower()
        return next((choice for choice in parameter["enum"] if str(choice).lower() in words), None)
    if name in _BY_NAME:
        return _BY_NAME[name](prompt)
    return _BY_TYPE.get(str(parameter.get("type")), _nothing)(prompt)


def _nothing(_prompt: str) -> None:
    return None


def _first(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    def search(prompt: str) -> str | None:
        match = pattern.search(prompt)
        return match.group().strip().rstrip(".,;") if match else None

    return search


def _expression(prompt: str) -> str | None:
    # A hyphen or slash between numbers is mostly a date or a range, unless it stands free.
    found = [match.group().strip() for match in _ARITHMETIC.finditer(prompt)]
    return next((text for text in found if re.search(r"[+*^×÷(]|\s[-/%]\s", text)), None)  # noqa: RUF001


def _quoted(prompt: str) -> str | None:
    match = _QUOTED.search(prompt)
    return match.group(1) if match else None


def _fact(prompt: str) -> str | None:
    match = _FACT.search(prompt)
    return match.group(1).strip() if match else None


def _key(prompt: str) -> str | None:
    fact = _fact(prompt)
    if fact is None:
        return _quoted(prompt)
    subject = _SUBJECT.search(fact)
    return (subject.group(1) if subject else fact)[:80].strip()


def _about(prompt: str) -> str | None:
    match = re.search(r"\babout (?:my |the )?([\w -]{2,60})", prompt, re.IGNORECASE)
    return match.group(1).strip() if match else _quoted(prompt)


def _task(prompt: str) -> str | None:
    match = _HANDED_ON.search(prompt)
    return f"{match.group(1)[0].upper()}{match.group(1)[1:]}" if match else None


def _object(prompt: str) -> dict[str, Any] | None:
    match = _OBJECT.search(prompt)
    if match is not None:
        try:
            value: Any = json.loads(match.group())
        except ValueError:
            return None
        return cast("dict[str, Any]", value) if isinstance(value, dict) else None
    text = _quoted(prompt)
    return None if text is None else {"text": text}


def _integer(prompt: str) -> int | None:
    match = _NUMBER.search(prompt)
    return int(float(match.group())) if match else None


def _number(prompt: str) -> float | None:
    match = _NUMBER.search(prompt)
    return float(match.group()) if match else None


_BY_NAME: dict[str, Callable[[str], Any]] = {
    "url": _first(_URL),
    "timezone": _first(_ZONE),
    "expression": _expression,
    "text": _fact,
    "key": _key,
    "query": _about,
    "task": _task,
    "start": _nothing,
}
_TELLING = {"url": 1.0, "expression": 1.0, "timezone": 0.5, "query": 0.5}
_BY_TYPE: dict[str, Callable[[str], Any]] = {
    "string": _quoted,
    "object": _object,
    "integer": _integer,
    "number": _number,
}


def _sample(schema: dict[str, Any], text: str) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    for choices in ("anyOf", "oneOf"):
        if choices in schema:
            return _sample(schema[choices][0], text)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        properties = cast("dict[str, dict[str, Any]]", schema.get("properties", {}))
        return {name: _sample(part, text) for name, part in properties.items()}
    if kind == "array":
        return [_sample(schema.get("items", {}), text)] * int(schema.get("minItems", 0))
    plain: dict[str, Any] = {
        "integer": schema.get("minimum", 0),
        "number": schema.get("minimum", 0.0),
        "boolean": False,
    }
    return plain.get(str(kind), text[: int(schema.get("maxLength", 1000))])
