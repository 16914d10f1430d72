"""The demo model's rule beside an application: values of the shared state are told, and changed when that is asked for.

It speaks only of what stands in the state: a name that is not there, or that could be several places, is left alone.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from pydantic_ai.messages import ModelMessage, ToolCallPart
from pydantic_ai.models.function import AgentInfo

from app.agents.demo_turn import LABEL, Move, last_turn

_STATE = re.compile(r'<application_state version="(\d+)">\n(.*?)\n</application_state>', re.DOTALL)
_SET = re.compile(
    r"\b(?:set|change|update|switch|mark|rename)\s+(?:the\s+|my\s+)?(.{2,80}?)\s+(?:to|as|into)\s+(.{1,300}?)\s*[.!]?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_ASKED = re.compile(r"\b(?:what|which|who|when|where|how (?:much|many))\b(.{2,120}?)\??\s*$", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_FILLING = "a an and are do does for has have in is it its me my now of on our please present the this to"
_EMPTY = frozenset(_FILLING.split())
_QUOTES = "\"'“”"


class _Leaf(NamedTuple):
    """A value of the state, where it stands, and the words of its path; the last ones are those of its own name."""

    pointer: str
    value: Any
    words: frozenset[str]
    name: frozenset[str]


def rule(messages: list[ModelMessage], info: AgentInfo) -> Move | None:
    """Propose a change that the person asks for, or answer from the state; None where it says nothing."""
    found = _STATE.search(info.instructions or "")
    turn = last_turn(messages)
    if found is None or turn.results:
        return None
    leaves = list(_leaves(json.loads(found[2])))
    wanted = _SET.search(turn.prompt)
    if wanted is not None and any(tool.name == "update_context" for tool in info.function_tools):
        leaf = _named(wanted[1], leaves)
        return None if leaf is None else [_change(leaf, wanted[2], int(found[1]), turn.prompt)]
    asked = _ASKED.search(turn.prompt)
    leaf = _named(asked[1], leaves) if asked is not None else None
    if leaf is None:
        return None
    return f"{LABEL} in the application, {_spoken(leaf.pointer)} is {json.dumps(leaf.value, ensure_ascii=False)}."


def _change(leaf: _Leaf, text: str, version: int, prompt: str) -> ToolCallPart:
    value = _value(text.strip(), leaf.value)
    why = " ".join(prompt.split())
    return ToolCallPart(
        "update_context",
        {
            "patch": [{"op": "replace", "path": leaf.pointer, "value": value}],
            "why": f"The person asked: {why[:400]}",
            "version": version,
        },
    )


def _value(text: str, present: Any) -> Any:
    """What the words stand for: JSON where the present value is no text, the words themselves where it is one."""
    bare = text.strip(_QUOTES)
    if isinstance(present, str):
        return bare
    try:
        return json.loads(bare)
    except ValueError:
        return bare


def _named(words: str, leaves: Sequence[_Leaf]) -> _Leaf | None:
    """The one value that the words name: all of its own name, nothing that is not on its path."""
    said = _words(words) - _EMPTY
    fitting = [leaf for leaf in leaves if leaf.name <= said <= leaf.words]
    return fitting[0] if len(fitting) == 1 else None


def _leaves(value: Any, pointer: str = "", words: frozenset[str] = frozenset()) -> Iterator[_Leaf]:
    members: Mapping[str, Any] = (
        cast("Mapping[str, Any]", value)
        if isinstance(value, dict)
        else {str(place): item for place, item in enumerate(cast("list[Any]", value))}
        if isinstance(value, list)
        else {}
    )
    for key, inner in members.items():
        at, name = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}", frozenset(_words(key))
        if isinstance(inner, dict | list):
            yield from _leaves(inner, at, words | name)
        elif name:
            yield _Leaf(at, inner, words | name, name)


def _words(text: str) -> set[str]:
    found = (word.lower() for word in _WORD.findall(re.sub(r"['’]s\b", "", text)))  # noqa: RUF001
    return {word[:-1] if word.endswith("s") and len(word) > 3 else word for word in found}


def _spoken(pointer: str) -> str:
    return " ".join(pointer.strip("/").split("/")).replace("_", " ")
