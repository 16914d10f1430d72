"""The journal capability: what makes an agent's run resumable. It checkpoints responses and journals tool calls.

It hangs on Pydantic AI's hooks and writes through the attempt, which owns transactions and events.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pydantic_core
from pydantic_ai import Agent, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ModelRetry, ToolFailed
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.tools import ToolDefinition

from app.agents.context import AgentContext
from app.agents.policy import verdict_of
from app.agents.text import clean
from app.agents.tool import OutcomeUnknown, ToolSpec
from app.models.approval import arguments_hash
from app.models.connection import ReconnectNeeded
from app.models.errors import Transient
from app.models.run import ToolCall
from app.services.history import step_of

if TYPE_CHECKING:
    from app.services.attempt import Attempt

TOOL_SECONDS = 120.0
"""After this long a tool call that has no deadline of its own is given up."""


def jsonable(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Validated arguments as JSON data that can be stored."""
    return clean(pydantic_core.to_jsonable_python(dict(arguments), serialize_unknown=True))


def _unknown(_tool: ToolDefinition) -> ToolSpec | None:
    return None


@dataclass
class Journal(AbstractCapability[AgentContext]):
    """Hooks one attempt of one run into the agent loop.

    `others` tells of tools that are known only once a call of them is made.
    """

    attempt: "Attempt"
    specs: Mapping[str, ToolSpec]
    others: Callable[[ToolDefinition], ToolSpec | None] = _unknown

    async def before_model_request(self, ctx: RunContext[AgentContext], request_context: Any) -> Any:
        """Ask nothing that somebody else may have asked already."""
        await self.attempt.make_sure()
        return request_context

    async def after_model_request(
        self, ctx: RunContext[AgentContext], *, request_context: Any, response: ModelResponse
    ) -> ModelResponse:
        """Replace what cannot be stored, before the response enters the history."""
        for part in response.parts:
            if isinstance(part, TextPart):
                part.content = clean(part.content)
            elif isinstance(part, ToolCallPart):
                part.args = cast("Any", clean(part.args))
        return response

    async def after_node_run(self, ctx: RunContext[AgentContext], *, node: Any, result: Any) -> Any:
        """Checkpoint a response that calls tools; one that ends the run is stored with the end."""
        self.attempt.seen(ctx.messages, ctx.usage)
        if Agent.is_model_request_node(node):
            response = ctx.messages[-1]
            if isinstance(response, ModelResponse) and response.tool_calls:
                await self.attempt.checkpoint(response)
        return result

    async def wrap_tool_execute(
        self,
        ctx: RunContext[AgentContext],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: Any,
    ) -> Any:
        """Carry out a tool call once: by the journal if it is done, else under policy and written down."""
        spec = self.specs.get(call.tool_name) or self.others(tool_def)
        if spec is None:
            return await handler(args)
        step = step_of(ctx.messages, self.attempt.run.id)
        known = self.attempt.journaled(step, call.tool_call_id)
        if known is not None and known.status != "started":
            ctx.usage.tool_calls += 1
            return self._replay(spec, known)
        if known is None:
            await self._permit(ctx, spec, call, args, step)
        elif (settled := await self._settle_started(ctx, spec, known, args)) is not None:
            return settled
        return await self._carry_out(_Call(spec, call, step, args, known), handler)

    def _replay(self, spec: ToolSpec, known: ToolCall) -> Any:
        if spec.taints:
            self.attempt.taint(spec.name)
        if known.status == "done":
            return known.result
        raise ToolFailed(str(known.result))

    async def _permit(
        self, ctx: RunContext[AgentContext], spec: ToolSpec, call: ToolCallPart, args: dict[str, Any], step: int
    ) -> None:
        said = spec.policy(ctx.deps, args)
        verdict = verdict_of(await said if isinstance(said, Awaitable) else said)
        if verdict.policy == "deny":
            self.attempt.tool_ended(call, "denied", verdict.reason)
            raise ToolFailed(f"Policy does not allow {spec.name} here. {verdict.reason}".strip())
        arguments = jsonable(args)
        if verdict.policy == "ask" and not self.attempt.approved(step, call.tool_call_id, arguments_hash(arguments)):
            raise self._question("tool_call", arguments, verdict.reason)

    async def _settle_started(
        self, ctx: RunContext[AgentContext], spec: ToolSpec, known: ToolCall, args: dict[str, Any]
    ) -> str | None:
        """Decide about a call that an earlier attempt started and never finished: its result, or None to repeat it."""
        decision = self.attempt.decision(known.tool_call_id)
        if decision == "happened":
            text = "A person confirmed that this call took effect."
            await self.attempt.finish_call(known, "done", text)
            return text
        if decision == "skip":
            text = "Whether this call took effect is unknown; a person decided not to repeat it."
            await self.attempt.finish_call(known, "skipped", text)
            raise ToolFailed(text)
        if decision != "repeat" and not spec.repeatable(ctx.deps, args):
            raise self._unknown(args, "It was started, and the process that ran it did not live to see the answer.")
        return None

    async def _carry_out(self, call: "_Call", handler: Any) -> Any:
        spec = call.spec
        if spec.effect == "write" and not await self.attempt.start_call(
            call.step, call.part, spec, jsonable(call.args), call.known
        ):
            raise ToolFailed("The run was cancelled before this call started.")
        if not spec.defers:
            self.attempt.announce(call.part, spec, jsonable(call.args), call.step)
        try:
            async with asyncio.timeout(TOOL_SECONDS):
                result = await handler(call.args)
        except (ApprovalRequired, CallDeferred):
            raise
        except OutcomeUnknown as error:
            self.attempt.tool_ended(call.part, "unknown", error.detail)
            raise self._unknown(call.args, error.detail) from error
        except TimeoutError as error:
            if spec.effect == "write":
                self.attempt.tool_ended(call.part, "unknown", "No answer in time.")
                raise self._unknown(call.args, "No answer in time.") from error
            return await self._failed(call, f"{spec.name} gave no answer within {TOOL_SECONDS:.0f} seconds.")
        except Transient:
            raise
        except Exception as error:
            await self._record_failure(call, error)
            raise
        value = clean(pydantic_core.to_jsonable_python(result, serialize_unknown=True))
        if spec.taints:
            self.attempt.taint(spec.name)
        await self.attempt.record_call(call.step, call.part, spec, jsonable(call.args), "done", value)
        self.attempt.tool_ended(call.part, "ok", _summary(value))
        return value

    def _unknown(self, args: dict[str, Any], why: str) -> ApprovalRequired:
        return self._question("unknown_outcome", jsonable(args), why)

    def _question(self, kind: str, arguments: dict[str, Any], reason: str) -> ApprovalRequired:
        """What a person is asked, with everything that is needed to answer; `conduct` makes the approval of it."""
        about = {"arguments": arguments, "arguments_hash": arguments_hash(arguments), "reason": clean(reason) or None}
        return ApprovalRequired(metadata={"kind": kind, **about, "taint": sorted(self.attempt.tainted)})

    async def _record_failure(self, call: "_Call", error: Exception) -> None:
        text = clean(str(error)) or type(error).__name__
        await self.attempt.record_call(call.step, call.part, call.spec, jsonable(call.args), "failed", text)
        self.attempt.tool_ended(call.part, "failed", text)
        if isinstance(error, ReconnectNeeded):
            return  # the run ends: nothing that it still could do would be what the person asked for
        if not isinstance(error, ToolFailed | ModelRetry) and not type(error).__module__.startswith("pydantic_ai"):
            raise ToolFailed(f"{call.spec.name} failed: {text}") from error

    async def _failed(self, call: "_Call", text: str) -> Any:
        await self.attempt.record_call(call.step, call.part, call.spec, jsonable(call.args), "failed", text)
        self.attempt.tool_ended(call.part, "failed", text)
        raise ToolFailed(text)


@dataclass(frozen=True, slots=True)
class _Call:
    spec: ToolSpec
    part: ToolCallPart
    step: int
    args: dict[str, Any]
    known: ToolCall | None


def _summary(value: Any) -> str:
    text = value if isinstance(value, str) else pydantic_core.to_json(value).decode()
    return text if len(text) <= 300 else text[:300] + "…"
