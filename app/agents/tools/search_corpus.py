"""The tool `search_corpus`: the few articles that come with the product, for trying research without a network."""

from typing import Annotated

from pydantic import Field
from pydantic_ai import RunContext, Tool, ToolFailed
from pydantic_ai.tools import ToolDefinition

from app.agents import corpus
from app.agents.context import AgentContext
from app.agents.tool import ToolSpec


async def search_corpus(
    ctx: RunContext[AgentContext], query: Annotated[str, Field(min_length=1, max_length=400)]
) -> list[dict[str, str]]:
    """Search the bundled articles. Gives titles and sources; read one with read_source before citing it.

    Args:
        ctx: The run.
        query: What to search for, in a few words.
    """
    if ctx.deps.sources is None or "corpus" not in ctx.deps.sources.kinds:
        raise ToolFailed("This run does not use the bundled articles.")
    return [
        {"source": article.address, "title": article.title, "begins": article.text[:160]}
        for article in corpus.find(query, most=3)
    ]


async def _offered(ctx: RunContext[AgentContext], tool: ToolDefinition) -> ToolDefinition | None:
    return tool if ctx.deps.sources is not None and "corpus" in ctx.deps.sources.kinds else None


TOOL = ToolSpec(
    tool=Tool(search_corpus, max_retries=2, prepare=_offered),
    scope="Reads articles that come with the product; only runs of a research.",
)
