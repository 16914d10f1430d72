"""Handing work to another agent: the tool `delegate` begins a run of its own, and the run waits for it.

The run that is begun may use what is left of this one's limits, holds this one's taint, and knows what people said
from here only: what a model wrote for it is nobody's wish.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from pydantic_ai import RunContext, Tool
from pydantic_ai.exceptions import CallDeferred, ModelRetry, ToolFailed
from pydantic_ai.messages import ModelResponse
from pydantic_ai.toolsets import FunctionToolset
from pydantic_ai.usage import RunUsage, UsageLimits

from app.agents.context import AgentContext
from app.agents.definition import AgentDefinition, merge_limits
from app.agents.tool import ToolSpec
from app.models.errors import NotFound
from app.models.ids import new_id
from app.models.run import Limits
from app.services import definitions
from app.services.attempt import Attempt
from app.services.awaited import Child
from app.services.intake import Order
from app.services.words import began_by
from app.services.workshop import Workshop

TOOL = "delegate"
PATTERN = "delegation"
MOST_DEPTH = 3
"""How many runs may hang below one another; the last one hands nothing on."""

_MOST_TASK = 100_000
_MOST_WORDS = 20_000
_DESCRIPTION = (
    "Hand a piece of work to another agent and wait for its result. It knows nothing of this conversation: the task "
    "must say everything that it needs."
)


def depth_of(attempt: Attempt) -> int:
    """How many runs stand above this one."""
    return int(attempt.run.input.get("depth") or 0)


class Delegation:
    """What one attempt needs to hand work on. `spent` is what the runs below it have used so far."""

    def __init__(self, shared: Workshop, attempt: Attempt, agents: Sequence[AgentDefinition]) -> None:
        self._shared = shared
        self._attempt = attempt
        self._agents = {agent.name: agent for agent in agents}
        self.spent: dict[str, Any] = {}
        tool = Tool[AgentContext].from_schema(self._delegate, TOOL, _DESCRIPTION, self._schema(), takes_ctx=True)
        self.spec = ToolSpec(tool=tool, scope="Begins runs of the agents that this one may hand work to.", defers=True)
        self.toolset = FunctionToolset([tool])

    def _schema(self) -> dict[str, Any]:
        told = "; ".join(f"{agent.name}: {agent.description or 'no description'}" for agent in self._agents.values())
        return {
            "type": "object",
            "properties": {
                "agent": {"type": "string", "enum": list(self._agents), "description": told},
                "task": {"type": "string", "maxLength": _MOST_TASK, "description": "The work, complete in itself."},
            },
            "required": ["agent", "task"],
            "additionalProperties": False,
        }

    async def _delegate(self, ctx: RunContext[AgentContext], **arguments: Any) -> Any:
        name, task = arguments.get("agent"), arguments.get("task")
        wanted = self._agents.get(name) if isinstance(name, str) else None
        if wanted is None:
            raise ModelRetry(f"There is no such agent; choose one of: {', '.join(self._agents)}.")
        if not isinstance(task, str) or not task.strip() or len(task) > _MOST_TASK:
            raise ModelRetry(f"`task` is a text of at most {_MOST_TASK} characters.")
        raise CallDeferred(metadata={"child": await self._child(ctx, wanted, task)})

    async def _child(self, ctx: RunContext[AgentContext], wanted: AgentDefinition, task: str) -> Child:
        run, shared = self._attempt.run, self._shared
        pattern = shared.registry.pattern(PATTERN)
        limits = least(self._left(ctx), merge_limits(wanted.limits, pattern.limits))
        async with shared.database.begin(run.workspace_id) as unit:
            await definitions.store(unit, wanted)
        order = Order(
            conversation_id=new_id(),
            pattern=pattern.name,
            lane=pattern.lane,
            agent=wanted.name,
            agent_version=wanted.version,
            model=shared.models.name(wanted.model),
            max_attempts=pattern.max_attempts,
            trigger="sub_run",
            created_by=f"run:{run.id}",
            prompt=task,
            limits=limits.model_dump(mode="json", exclude_none=True),
            parent=replace(run, taint=sorted(self._attempt.tainted)),
            more={
                "depth": depth_of(self._attempt) + 1,
                "words": ctx.deps.prompt[-_MOST_WORDS:],
                "began_by": began_by(run),
            },
        )
        return Child(order, title=task.strip().splitlines()[0][:200])

    def _left(self, ctx: RunContext[AgentContext]) -> Limits:
        """What the run may still use, shared among the work that it hands on at once; one step is kept for its end."""
        limits = Limits.model_validate(self._attempt.run.limits)
        last = next((one for one in reversed(ctx.messages) if isinstance(one, ModelResponse)), None)
        sharers = max(1, sum(call.tool_name == TOOL for call in last.tool_calls) if last is not None else 1)
        left = remaining(limits, ctx.usage, self._attempt.seconds, self.spent)
        steps = None if left.steps is None else (left.steps - 1) // sharers
        if (steps is not None and steps < 1) or (left.seconds is not None and left.seconds <= 0):
            raise ToolFailed("Nothing is left of this run's limits to hand on; finish without help.")
        return Limits(
            steps=steps,
            tool_calls=None if left.tool_calls is None else left.tool_calls // sharers,
            tokens=None if left.tokens is None else left.tokens // sharers,
            cost_usd=None if left.cost_usd is None else left.cost_usd / sharers,
            seconds=left.seconds,
        )


async def delegation_of(shared: Workshop, attempt: Attempt, definition: AgentDefinition) -> Delegation | None:
    """What the attempt needs to hand work on; None for an agent that may not, or that stands too deep."""
    if not definition.sub_agents or depth_of(attempt) >= MOST_DEPTH:
        return None
    agents: list[AgentDefinition] = []
    async with shared.database.begin(attempt.run.workspace_id) as unit:
        for name in dict.fromkeys(definition.sub_agents):
            try:
                agents.append(await definitions.find(unit, shared.registry, name))
            except NotFound:
                continue  # it was archived since
        spent = (await unit.runs.usage_below([attempt.run.id], with_own=False)).get(attempt.run.id, {})
    if not agents:
        return None
    made = Delegation(shared, attempt, agents)
    made.spent = spent
    return made


def remaining(limits: Limits, used: RunUsage, seconds: float, spent: dict[str, Any]) -> Limits:
    """What is left of limits after what the run and those below it have used; nothing is below zero."""
    cost = (used.cost or Decimal(0)) + (spent.get("cost_usd") or Decimal(0))
    return Limits(
        steps=_left(limits.steps, used.requests + spent.get("requests", 0)),
        tool_calls=_left(limits.tool_calls, used.tool_calls + spent.get("tool_calls", 0)),
        tokens=_left(limits.tokens, used.total_tokens + spent.get("total_tokens", 0)),
        cost_usd=None if limits.cost_usd is None else max(limits.cost_usd - cost, Decimal(0)),
        seconds=None if limits.seconds is None else max(limits.seconds - seconds, 0.0),
    )


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(limit - used, 0)


def least(one: Limits, other: Limits) -> Limits:
    """The stricter of two limits, field by field."""
    values: dict[str, Any] = {}
    for name in Limits.model_fields:
        said = [value for value in (getattr(one, name), getattr(other, name)) if value is not None]
        values[name] = min(said) if said else None
    return Limits(**values)


def usage_limits(limits: Limits, spent: dict[str, Any]) -> UsageLimits:
    """The limits in the agent library's words: what the runs below have used is gone."""
    left = remaining(limits, RunUsage(), 0, spent)
    return UsageLimits(
        request_limit=left.steps,
        tool_calls_limit=left.tool_calls,
        total_tokens_limit=left.tokens,
        cost_limit=left.cost_usd,
    )
