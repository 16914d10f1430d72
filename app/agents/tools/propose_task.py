"""The tool `propose_task`: a task that would act by itself later, made only when a person has agreed."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai import ModelRetry, RunContext, Tool, ToolFailed
from pydantic_ai.tools import ToolDefinition

from app.agents import policy
from app.agents.context import AgentContext, TaskProposal
from app.agents.policy import Verdict
from app.agents.tool import Arguments, ToolSpec
from app.models.errors import AppError, InvalidInput

Text = Annotated[str, Field(min_length=1, max_length=200)]
Prompt = Annotated[str, Field(min_length=1, max_length=8000)]
Notify = Literal["email", "slack", "none"]
Agent = Annotated[str, Field(max_length=64)]


class When(BaseModel):
    """One of cron, every and at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timezone: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="The person's time zone by its IANA name, such as Europe/Berlin. Ask when you do not know it."
    )
    cron: Text | None = Field(default=None, description='Five crontab fields; "0 8 * * 1-5" is every weekday at 8.')
    every: Text | None = Field(default=None, description='A step such as "15m", "2h" or "1d".')
    at: Text | None = Field(default=None, description="One moment with its offset: 2026-12-01T09:00:00+01:00.")


async def propose_task(
    ctx: RunContext[AgentContext],
    title: Text,
    prompt: Prompt,
    when: When,
    notify: Notify = "none",
    agent: Agent | None = None,
) -> dict[str, Any]:
    """Propose a task that runs by itself at set times. A person sees it and creates it, or does not.

    Args:
        ctx: The run.
        title: What the task is called.
        prompt: What the agent is told each time, complete in itself: it sees nothing of this conversation.
        when: When it runs.
        notify: Where the person is told of the results: their own e-mail address, Slack, or nowhere.
        agent: The name of the agent that carries it out; left out, the usual one.
    """
    planner = ctx.deps.planner
    if planner is None:
        raise ToolFailed("Tasks cannot be made here.")
    proposal = TaskProposal(title, prompt, _schedule(when), notify, agent)
    try:
        return dict(await planner.create(proposal, ctx.deps.effect_key(ctx.tool_call_id or "")))
    except InvalidInput as error:
        raise ToolFailed(error.detail) from error


def _schedule(when: When) -> dict[str, Any]:
    return when.model_dump(exclude_none=True)


async def _check(
    ctx: RunContext[AgentContext],
    title: Text,
    prompt: Prompt,
    when: When,
    notify: Notify = "none",
    agent: Agent | None = None,
) -> None:
    """Have the model put right what cannot be made, before a person is asked."""
    if ctx.deps.planner is None or ctx.tool_call_approved:
        return
    try:
        await ctx.deps.planner.check(TaskProposal(title, prompt, _schedule(when), notify, agent))
    except InvalidInput as error:
        raise ModelRetry(error.detail) from error


async def _policy(context: AgentContext, arguments: Arguments) -> Verdict:
    verdict = policy.of_proposal(context)
    if verdict.policy != "ask" or context.planner is None:
        return verdict
    proposal = TaskProposal(
        arguments["title"],
        arguments["prompt"],
        _schedule(arguments["when"]),
        arguments.get("notify") or "none",
        arguments.get("agent"),
    )
    try:
        return Verdict("ask", f"{await context.planner.check(proposal)} {verdict.reason}")
    except AppError as error:  # what a person has edited, or has waited for too long, cannot be made any more
        return Verdict("deny", error.detail)


async def _offer(ctx: RunContext[AgentContext], definition: ToolDefinition) -> ToolDefinition | None:
    return definition if ctx.deps.planner is not None and ctx.deps.present else None


TOOL = ToolSpec(
    tool=Tool(propose_task, max_retries=2, prepare=_offer, args_validator=_check),
    scope="Makes scheduled tasks of the person that the run is for, each only after a person has agreed to it.",
    effect="write",
    policy=_policy,
)
"""Its key makes it repeatable: a call that was interrupted gives the task that it had made."""
