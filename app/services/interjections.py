"""Messages that arrive while an agent works: put before its next request."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic_ai import Agent, DeferredToolRequests, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelRequest, ModelResponse, UserPromptPart
from pydantic_graph import End

from app.agents.context import AgentContext
from app.agents.text import clean
from app.services.news import STEERING

if TYPE_CHECKING:
    from app.services.attempt import Attempt


@dataclass
class Interjections(AbstractCapability[AgentContext]):
    """Hands messages to the agent of one attempt.

    They enter right before a request, never while tool calls are open: a run that stops for people would take them
    for an answer. One that comes while the last answer is written makes the agent go on.
    """

    attempt: "Attempt"

    async def before_model_request(self, ctx: RunContext[AgentContext], request_context: Any) -> Any:
        """Give the agent what has arrived since its last request."""
        await self._enqueue(ctx)
        return request_context

    async def after_node_run(self, ctx: RunContext[AgentContext], *, node: Any, result: Any) -> Any:
        """Let a run that would end go on when a message has arrived, its answer so far stored."""
        if _ends(result) and not Agent.is_model_request_node(node) and await self.attempt.news.look():
            self.attempt.seen(ctx.messages, ctx.usage)
            last = ctx.messages[-1]
            if isinstance(last, ModelResponse) and self.attempt.new_messages():
                await self.attempt.checkpoint(last)
            await self._enqueue(ctx)
        return result

    async def _enqueue(self, ctx: RunContext[AgentContext]) -> None:
        await self.attempt.news.look()
        for message in self.attempt.news.take():
            text = clean(message.text)
            ctx.deps.said.append(text)
            ctx.enqueue(ModelRequest(parts=[UserPromptPart(content=text)], metadata={STEERING: str(message.id)}))


def _ends(result: Any) -> bool:
    """Whether the run is about to end; one that stops for people does not."""
    return isinstance(result, End) and not isinstance(cast("Any", result).data.output, DeferredToolRequests)
