"""The tool `save_file`: a result that people can download, kept with their files."""

from typing import Annotated

from pydantic import Field
from pydantic_ai import ModelRetry, RunContext, Tool, ToolFailed

from app.agents import policy
from app.agents.context import AgentContext
from app.agents.tool import ToolSpec
from app.models.errors import AppError, InvalidInput, UnsupportedMediaType


async def save_file(
    ctx: RunContext[AgentContext],
    name: Annotated[str, Field(min_length=1, max_length=200)],
    text: Annotated[str, Field(min_length=1, max_length=1_000_000)],
) -> str:
    """Save a long result as a download for the person, such as a report.

    Args:
        ctx: The run.
        name: The file's name with its ending, such as report.md or numbers.csv.
        text: The whole content.
    """
    if ctx.deps.shelf is None:
        raise ToolFailed("Files cannot be saved here.")
    key = ctx.deps.effect_key(ctx.tool_call_id or "")
    try:
        file_id = await ctx.deps.shelf.save(name, text, key)
    except (InvalidInput, UnsupportedMediaType) as error:
        raise ModelRetry(error.detail) from error
    except AppError as error:
        raise ToolFailed(error.detail) from error
    return f"Saved as {name!r}; the file's id is {file_id}."


TOOL = ToolSpec(
    tool=Tool(save_file, max_retries=2),
    scope="The files of the person that the run is for.",
    effect="write",
    policy=lambda context, _arguments: policy.of_file(context),
)
"""The same call gives the same file however often it is made, so it may be repeated."""
