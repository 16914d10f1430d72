"""The tools `remember`, `recall` and `forget`: notes of the run's user, kept over conversations."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field
from pydantic_ai import RunContext, Tool, ToolFailed

from app.agents import policy
from app.agents.context import AgentContext
from app.agents.policy import Verdict
from app.agents.tool import Arguments, ToolSpec

Key = Annotated[str, Field(min_length=1, max_length=100)]


async def remember(
    ctx: RunContext[AgentContext], key: Key, text: Annotated[str, Field(min_length=1, max_length=4000)]
) -> str:
    """Keep a note for later conversations with this person. A note with the same key is replaced.

    Args:
        ctx: The run.
        key: A short name for the note, such as "favourite colour".
        text: What to remember.
    """
    await ctx.deps.notes.remember(key, text)
    return f"Remembered as {key!r}."


async def recall(
    ctx: RunContext[AgentContext], query: Annotated[str, Field(max_length=200)] = ""
) -> list[dict[str, Any]]:
    """Look up what was remembered for this person in earlier notes.

    Args:
        ctx: The run.
        query: Words to look for. Left empty, the newest notes are given.
    """
    return await ctx.deps.notes.recall(query)


async def forget(ctx: RunContext[AgentContext], key: Key) -> str:
    """Remove a note.

    Args:
        ctx: The run.
        key: The name of the note.
    """
    if not await ctx.deps.notes.forget(key):
        raise ToolFailed(f"There is no note {key!r}.")
    return f"Forgot {key!r}."


def _policy_of(tool: str) -> Callable[[AgentContext, Arguments], Verdict]:
    return lambda context, _arguments: policy.of_note(context, tool)


_SCOPE = "The notes of the person that the run is for."

TOOLS = (
    ToolSpec(tool=Tool(remember, max_retries=2), scope=_SCOPE, effect="write", policy=_policy_of("remember")),
    ToolSpec(tool=Tool(recall, max_retries=2), scope=_SCOPE),
    ToolSpec(tool=Tool(forget, max_retries=2), scope=_SCOPE, effect="write", policy=_policy_of("forget")),
)
"""Writing a note twice leaves the same note, so all three may be repeated."""
