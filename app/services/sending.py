"""What of a conversation a model is sent: the agent's context policy, applied to every request of an attempt.

The log stays whole. Older messages are left out or stand as their summary, which the same model makes right before
the request that would not fit any more, and which is stored so that nobody pays for it twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pydantic_core
import structlog
from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import FallbackExceptionGroup, ModelContextWindowExceededError, RetryModelRequest
from pydantic_ai.messages import ModelMessage, ModelResponse

from app.agents.context import AgentContext
from app.agents.fitting import SENT_BYTES, Lead, clipped, cut_for, rate_of, size_of
from app.models.agent import ContextPolicy
from app.models.summary import Summary
from app.services.summaries import Summariser

if TYPE_CHECKING:
    from app.services.attempt import Attempt

log = structlog.get_logger(__name__)

FULL_SHARE = 0.8
"""The share of the window that may be filled before something is left out."""

KEPT_SHARE = 0.4
"""The share that is filled once something was left out, so that this does not happen again at once."""

REFUSED_SHARE = 0.5
"""What is taken for the window when the provider has refused what seemed to fit."""


@dataclass
class Sending(AbstractCapability[AgentContext]):
    """Fits the requests of one attempt. `window` is what the agent or the operator says of it, in tokens."""

    attempt: "Attempt"
    policy: ContextPolicy
    window: int | None
    summariser: Summariser
    summary: Summary | None = None
    begins: int = 0
    looked: bool = False
    refused_in: int = -1
    refused_at: float | None = None
    _overhead: dict[int, int] = field(default_factory=dict[int, int])

    async def prepare_model_request(self, ctx: RunContext[AgentContext], request_context: Any) -> Any:
        """Send what the policy and the window allow, and remember what that was."""
        whole: list[ModelMessage] = request_context.messages
        overhead = self._overhead_of(request_context.model_request_parameters)
        rate = rate_of(whole, overhead)
        window = self._window(request_context.model)
        await self._find_summary(whole)
        sent, left_out = self._kept(whole)
        if self._too_much(sent, overhead, rate, window):
            await self._shorten(ctx, request_context, whole, int(window * KEPT_SHARE / rate) - overhead)
            sent, left_out = self._kept(whole)
        if ctx.run_step == self.refused_in:
            sent = [clipped(message, max(int(window * KEPT_SHARE / rate) // 2, 500)) for message in sent]
        if left_out:
            request_context.messages = sent
        bytes_sent = overhead + sum(size_of(message) for message in sent)
        self.attempt.sent = self._told(len(sent), left_out, int(bytes_sent * rate), bytes_sent, window)
        return request_context

    async def after_model_request(
        self, ctx: RunContext[AgentContext], *, request_context: Any, response: ModelResponse
    ) -> ModelResponse:
        """Mark a response that did not see everything, so that its tokens are counted against what it saw."""
        sent = self.attempt.sent
        if sent and sent["left_out"]:
            response.metadata = {**(response.metadata or {}), SENT_BYTES: sent["bytes"]}
        return response

    async def on_model_request_error(
        self, ctx: RunContext[AgentContext], *, request_context: Any, error: Exception
    ) -> ModelResponse:
        """Try once more with less when the provider says that it was too much."""
        sent = self.attempt.sent
        again = self.policy.policy != "full" and self.refused_in != ctx.run_step
        if sent and sent["messages"] > 1 and again and _too_long(error):
            self.refused_in, self.refused_at = ctx.run_step, float(sent["tokens_estimated"])
            log.info("context.refused", tokens_estimated=sent["tokens_estimated"])
            raise RetryModelRequest
        raise error

    # Within

    def _window(self, model: Any) -> float:
        window = float(self.window or model.context_window or 128_000)
        return min(window, self.refused_at * REFUSED_SHARE) if self.refused_at is not None else window

    def _too_much(self, sent: Sequence[ModelMessage], overhead: int, rate: float, window: float) -> bool:
        if self.policy.policy == "full":
            return False
        keep = self.policy.keep_messages
        tokens = (overhead + sum(size_of(message) for message in sent)) * rate
        return tokens > window * FULL_SHARE or (keep is not None and len(sent) > keep + 1)

    async def _find_summary(self, messages: Sequence[ModelMessage]) -> None:
        history, looked = self.attempt.history, self.looked
        self.looked = True
        if not looked and self.policy.policy == "summarise" and history and history.summary_id:
            found = await self.summariser.find(history.summary_id)
            place = place_of(found, messages) if found is not None else None
            if place is not None:
                self.summary, self.begins = found, place

    def _kept(self, messages: list[ModelMessage]) -> tuple[list[ModelMessage], int]:
        """What is sent, and how many messages are not."""
        if self.begins == 0:
            return messages, 0
        kept = messages[self.begins :]
        lead = Lead(self.summary.text if self.summary else None).message(messages[: self.begins], kept)
        return ([lead, *kept] if lead else kept), self.begins

    async def _shorten(
        self, ctx: RunContext[AgentContext], request: Any, whole: list[ModelMessage], budget: int
    ) -> None:
        keep = self.policy.keep_messages
        if self.policy.policy == "window":
            self.begins = cut_for(whole, self.begins, len(whole) - 1, budget, keep)
            return
        stored = len(self.attempt.messages) - len(self.attempt.new_messages())
        keep = max(keep // 2, 1) if keep is not None else None
        place = cut_for(whole, self.begins, stored, budget * 3 // 4, keep)
        if place == self.begins:
            return
        self.summary = await self.summariser.make(ctx, request.model, whole, (self.begins, place), self.summary, budget)
        self.begins = place

    def _overhead_of(self, parameters: Any) -> int:
        """The bytes of instructions and tools, which go with every request."""
        tools = [*parameters.function_tools, *parameters.output_tools]
        key = len(tools)
        if key not in self._overhead:
            self._overhead[key] = sum(
                len(tool.description or "") + len(pydantic_core.to_json(tool.parameters_json_schema)) for tool in tools
            )
        return self._overhead[key] + sum(len(part.content) for part in parameters.instruction_parts or ())

    def _told(self, messages: int, left_out: int, tokens: int, size: int, window: float) -> dict[str, Any]:
        return {
            "policy": self.policy.policy,
            "messages": messages,
            "left_out": left_out,
            "summary_id": str(self.summary.id) if self.summary and left_out else None,
            "tokens_estimated": tokens,
            "window_tokens": int(window),
            "bytes": size,
        }


def place_of(summary: Summary, messages: Sequence[ModelMessage]) -> int | None:
    """Where the messages begin that a summary does not cover; None when it is of another line.

    Told by responses: requests that follow each other may have been made one since.
    """
    seen = 0
    for at, message in enumerate(messages):
        if isinstance(message, ModelResponse):
            if summary.before_response and seen == summary.responses:
                return at
            seen += 1
            if not summary.before_response and seen == summary.responses:
                return at + 1 if at + 1 < len(messages) else None
    return None


def _too_long(error: Exception) -> bool:
    if isinstance(error, FallbackExceptionGroup):
        return any(isinstance(one, ModelContextWindowExceededError) for one in error.exceptions)
    return isinstance(error, ModelContextWindowExceededError)
