"""What the platform needs to know of a tool beyond its function: effect, policy, repeatability, taint."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic_ai import Tool

from app.agents.context import AgentContext, Policy
from app.agents.policy import Verdict, verdict_of

Arguments = Mapping[str, Any]
Ruling = Policy | Verdict
"""What a tool's policy says of a call; a verdict of `app.agents.policy` names its reason too."""


class OutcomeUnknown(Exception):
    """The effect was sent off and nothing came back: it may have happened. Never repeated blindly."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def _allowed(_context: AgentContext, _arguments: Arguments) -> Policy:
    return "allow"


def _always(_context: AgentContext, _arguments: Arguments) -> bool:
    return True


@dataclass(frozen=True)
class ToolSpec:
    """A tool as the registry knows it.

    `defers` is set for one whose function only hands the call on: others answer it while the run waits.

    `effect` is "write" for a tool that changes something outside the run; it is journaled before it starts and after
    it is done. `policy` is asked when the call is about to start, with the validated arguments, and again after a
    person has edited them. `repeatable` says whether a call that was started and never finished may run again.
    `taints` marks tools that bring in text which other people wrote. `scope` tells people what the tool can reach.
    """

    tool: Tool[AgentContext]
    scope: str
    effect: Literal["read", "write"] = "read"
    taints: bool = False
    defers: bool = False
    policy: Callable[[AgentContext, Arguments], Ruling | Awaitable[Ruling]] = _allowed
    repeatable: Callable[[AgentContext, Arguments], bool] = _always

    @property
    def name(self) -> str:
        """The name that the model calls it by."""
        return self.tool.name

    @property
    def description(self) -> str:
        """What the model is told about it."""
        return self.tool.description or ""


_STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}


def tightened(spec: ToolSpec, said: Policy | None) -> ToolSpec:
    """The tool under a policy of its agent: the stricter of the two counts, so it can loosen nothing."""
    if said is None or said == "allow":
        return spec
    tells = "wants a person to be asked" if said == "ask" else "forbids it"

    async def policy(context: AgentContext, arguments: Arguments) -> Verdict:
        ruling = spec.policy(context, arguments)
        own = verdict_of(await ruling if isinstance(ruling, Awaitable) else ruling)
        if _STRICTNESS[own.policy] > _STRICTNESS[said]:
            return own
        reason = f"The agent's definition {tells}."
        return Verdict(said, f"{reason} {own.reason}" if own.policy == said and own.reason else reason)

    return replace(spec, policy=policy)
