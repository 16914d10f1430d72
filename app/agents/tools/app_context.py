"""The tools `read_context` and `update_context`: the application's state, read in parts and changed by agreement."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai import ModelRetry, RunContext, Tool, ToolFailed
from pydantic_ai.tools import ToolDefinition

from app.agents import policy
from app.agents.app_state import portion
from app.agents.context import AgentContext, Wish
from app.agents.policy import Verdict
from app.agents.tool import Arguments, ToolSpec
from app.models.errors import Conflict, InvalidInput
from app.models.json_patch import found_at

Pointer = Annotated[str, Field(max_length=2000)]


class Change(BaseModel):
    """One step of a change, an operation of JSON Patch (RFC 6902)."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    op: Literal["add", "replace", "remove", "move", "copy", "test"]
    path: Pointer = Field(description="A JSON Pointer: /order/status, /lines/0, or /lines/- for the end of a list.")
    value: Any = Field(default=None, description="For add, replace and test.")
    source: Pointer | None = Field(default=None, alias="from", description="For move and copy.")


Changes = Annotated[list[Change], Field(min_length=1, max_length=100)]
Why = Annotated[str, Field(min_length=1, max_length=500)]
Version = Annotated[int, Field(ge=0)]


async def read_context(ctx: RunContext[AgentContext], pointer: Pointer = "") -> Any:
    """Read a part of the application's state, as it is now.

    Args:
        ctx: The run.
        pointer: A JSON Pointer such as /order/lines/0. Left empty, the whole state.
    """
    assert ctx.deps.app_state is not None
    now = await ctx.deps.app_state.read()
    try:
        return portion(found_at(now.data, pointer))
    except LookupError:
        raise ToolFailed(f"There is nothing at {pointer!r} in the application's state.") from None


async def update_context(
    ctx: RunContext[AgentContext], patch: Changes, why: Why, version: Version | None = None
) -> dict[str, Any]:
    """Change the application's state, or propose the change where the application decides about it.

    Args:
        ctx: The run.
        patch: What changes, in steps that are carried out all or none.
        why: What the change is for, in a sentence for the person.
        version: The version of the state that you have seen; a change is refused when it is another one by now.
    """
    assert ctx.deps.app_state is not None
    wish = Wish(why, version, agreed=ctx.tool_call_approved)
    try:
        return dict(await ctx.deps.app_state.change(ctx.tool_call_id or "", _operations(patch), wish))
    except (InvalidInput, Conflict) as error:
        raise ToolFailed(error.detail) from error


def _operations(patch: list[Change]) -> list[dict[str, Any]]:
    return [_operation(step) for step in patch]


def _operation(step: Change) -> dict[str, Any]:
    if step.op in ("move", "copy"):
        return {"op": step.op, "from": step.source or "", "path": step.path}
    if step.op == "remove":
        return {"op": step.op, "path": step.path}
    return {"op": step.op, "path": step.path, "value": step.value}


async def _check(ctx: RunContext[AgentContext], patch: Changes, why: Why, version: Version | None = None) -> None:
    """Have the model put right what cannot be made, before anybody is asked."""
    if ctx.deps.app_state is None or ctx.tool_call_approved:
        return
    try:
        await ctx.deps.app_state.check(_operations(patch), version)
    except (InvalidInput, Conflict) as error:
        raise ModelRetry(error.detail) from error


async def _policy(context: AgentContext, _arguments: Arguments) -> Verdict:
    if context.app_state is None:
        return Verdict("deny", "There is no application here.")
    return policy.of_context(context, (await context.app_state.read()).changes)


async def _offer(ctx: RunContext[AgentContext], definition: ToolDefinition) -> ToolDefinition | None:
    return definition if ctx.deps.app_state is not None else None


_SCOPE = "The state that the application shares with the conversation."

TOOLS = (
    ToolSpec(tool=Tool(read_context, max_retries=2, prepare=_offer), scope=_SCOPE),
    ToolSpec(
        tool=Tool(update_context, max_retries=2, prepare=_offer, args_validator=_check),
        scope=_SCOPE,
        effect="write",
        policy=_policy,
    ),
)
"""A change is written in one commit with its journal, so a call that was interrupted has happened or has not."""
