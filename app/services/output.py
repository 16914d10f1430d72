"""Structured answers: held against their schema and what they quote from, and asked for again when they are wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError
from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.output import OutputContext

from app.agents.context import AgentContext
from app.models.errors import InvalidInput

if TYPE_CHECKING:
    from app.services.attempt import Attempt

MOST_TRIES = 3
"""How often a run may hand in an answer."""


class OutputInvalid(InvalidInput):
    """The agent's answer did not fit, however often it was asked."""

    code = "output_invalid"


@dataclass
class OutputCheck(AbstractCapability[AgentContext]):
    """Checks the answers of one attempt. `find` tells what is wrong with one, as `place: what`.

    A wrong answer goes back to the model with what is wrong, and is told as a failed `tool.result`; the third one ends
    the run.
    """

    attempt: "Attempt"
    find: Callable[[Any], Sequence[str]]
    tries: int = 0

    async def after_output_validate(
        self, ctx: RunContext[AgentContext], *, output_context: OutputContext, output: Any
    ) -> Any:
        """Let an answer pass that fits. Raises ModelRetry, and OutputInvalid for the last one."""
        problems = self.find(output) if isinstance(output, dict) and not ctx.partial_output else ()
        if problems:
            raise self._again(output_context, problems)
        return cast("Any", output)

    async def on_output_validate_error(
        self,
        ctx: RunContext[AgentContext],
        *,
        output_context: OutputContext,
        output: Any,
        error: ValidationError | ModelRetry,
    ) -> Any:
        """Count what was no object at all."""
        if ctx.partial_output or isinstance(error, ModelRetry):
            raise error
        again = self._again(output_context, ["the whole: this is no JSON object"])
        raise error if isinstance(again, ModelRetry) else again

    def _again(self, output_context: OutputContext, problems: Sequence[str]) -> Exception:
        self.tries += 1
        told = "; ".join(problems)
        if output_context.tool_call is not None:
            self.attempt.tool_ended(output_context.tool_call, "failed", told[:1000])
        if self.tries >= MOST_TRIES:
            return OutputInvalid(f"The answer was wrong {self.tries} times, at last: {told[:1500]}")
        return ModelRetry("The result is not right. Hand it in again.\n" + "\n".join(f"- {one}" for one in problems))
