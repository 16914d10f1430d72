"""The application's state as an agent sees it: data between marks, whole where it is small, else as an outline."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import pydantic_core
from pydantic_ai import RunContext

from app.agents.context import AgentContext

SHOWN_CHARACTERS = 12_000
"""A longer state is shown as an outline; the tool `read_context` gives the rest."""

READ_CHARACTERS = 40_000
_MOST_MEMBERS = 100

StateBlock = Callable[[RunContext[AgentContext]], Awaitable[str]]


async def state_block(ctx: RunContext[AgentContext]) -> str:
    """The state for the model, as it is just now."""
    if ctx.deps.app_state is None:
        return ""
    now = await ctx.deps.app_state.read()
    text = _marked(now.data)
    if len(text) <= SHOWN_CHARACTERS:
        return f'<application_state version="{now.version}">\n{text}\n</application_state>'
    return (
        f'<application_state version="{now.version}" outline="true">\n{_marked(outline(now.data))}\n'
        "</application_state>\nThe state is too long to be shown whole: look at its parts with `read_context`."
    )


def portion(value: Any) -> Any:
    """A part of the state for the model; an outline where it is too long."""
    if len(_marked(value)) <= READ_CHARACTERS:
        return value
    return {"too_long": True, "outline": outline(value)}


def outline(value: Any) -> Any:
    """What a value holds, one level deep."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        shown = {name: _kind(inner) for name, inner in list(members.items())[:_MOST_MEMBERS]}
        return shown if len(members) <= _MOST_MEMBERS else {**shown, "…": f"{len(members)} members in all"}
    return _kind(value)


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"object of {len(cast('Mapping[str, Any]', value))}"
    if isinstance(value, str):
        return f"text of {len(value)} characters: {value[:80]}"
    if isinstance(value, Sequence):
        return f"list of {len(cast('Sequence[Any]', value))}"
    return _marked(value)


def _marked(value: Any) -> str:
    """As JSON in which nothing can be taken for the end of the block."""
    return pydantic_core.to_json(value).decode().replace("<", "\\u003c").replace(">", "\\u003e")
