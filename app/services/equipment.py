"""What a run gets beyond its agent: one function of each room, one line each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.toolsets import AbstractToolset

from app.agents.citing import Citing
from app.agents.context import AgentContext
from app.agents.registry import AgentDefinition
from app.agents.research import Brief
from app.agents.tool import ToolSpec
from app.services.attempt import Attempt
from app.services.interjections import Interjections
from app.services.workshop import Workshop


@dataclass(slots=True)
class Equipment:
    """Additions to one attempt. `specs` are of tools in `toolsets` that the journal must know."""

    capabilities: list[AbstractCapability[AgentContext]] = field(default_factory=list[AbstractCapability[AgentContext]])
    toolsets: list[AbstractToolset[AgentContext]] = field(default_factory=list[AbstractToolset[AgentContext]])
    specs: list[ToolSpec] = field(default_factory=list[ToolSpec])
    instructions: list[str] = field(default_factory=list[str])

    def add(
        self,
        *,
        capabilities: Sequence[AbstractCapability[Any]] = (),
        toolsets: Sequence[AbstractToolset[Any]] = (),
        specs: Sequence[ToolSpec] = (),
        instructions: Sequence[str] = (),
    ) -> None:
        """Put further pieces in."""
        self.capabilities += capabilities
        self.toolsets += toolsets
        self.specs += specs
        self.instructions += instructions


async def equip(shared: Workshop, attempt: Attempt, definition: AgentDefinition) -> Equipment:
    """Everything that this attempt needs. The attempt is loaded; no unit is open."""
    extra = Equipment()
    extra.add(capabilities=[Interjections(attempt)])
    if Brief.of(attempt.run.input) is not None:
        extra.add(capabilities=[Citing()])
    return extra
