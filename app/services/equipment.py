"""What a run gets beyond its agent: one function of each room, one line each."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset

from app.agents.citing import Citing
from app.agents.context import AgentContext, Policy
from app.agents.document_agents import unproven
from app.agents.memory import remembered
from app.agents.own import spec_of
from app.agents.papers import Paper, reading
from app.agents.registry import AgentDefinition
from app.agents.research import Brief
from app.agents.schemas import violations
from app.agents.tool import ToolSpec, tightened
from app.services import memories, sidekick
from app.services.attempt import Attempt
from app.services.delegating import delegation_of
from app.services.interjections import Interjections
from app.services.mcp_tools import Told, servers_of, spec_teller
from app.services.output import OutputCheck
from app.services.papers import hand_over
from app.services.sending import Sending
from app.services.sources import words_of
from app.services.summaries import Summariser
from app.services.tuning import instructions_of, settings_of
from app.services.workshop import Workshop

Instruction = str | Callable[[RunContext[AgentContext]], Awaitable[str]]
"""Words for the model; a function is asked before each of its requests."""


@dataclass(slots=True)
class Equipment:
    """Additions to one attempt. `specs` are of tools in `toolsets` that the journal must know.

    `output` stands for the agent's own kinds of output. `settings` go with every request of the model; `spent` is what
    runs below this one have used of its limits.
    """

    capabilities: list[AbstractCapability[AgentContext]] = field(default_factory=list[AbstractCapability[AgentContext]])
    toolsets: list[AbstractToolset[AgentContext]] = field(default_factory=list[AbstractToolset[AgentContext]])
    specs: list[ToolSpec] = field(default_factory=list[ToolSpec])
    instructions: list[Instruction] = field(default_factory=list[Instruction])
    output: Sequence[Any] | None = None
    settings: ModelSettings = field(default_factory=ModelSettings)
    spent: dict[str, Any] = field(default_factory=dict[str, Any])
    tellers: list[Told] = field(default_factory=list[Told])

    def add(
        self,
        *,
        capabilities: Sequence[AbstractCapability[Any]] = (),
        toolsets: Sequence[AbstractToolset[Any]] = (),
        specs: Sequence[ToolSpec] = (),
        instructions: Sequence[Instruction] = (),
    ) -> None:
        """Put further pieces in."""
        self.capabilities += capabilities
        self.toolsets += toolsets
        self.specs += specs
        self.instructions += instructions

    def teller(self, policies: Mapping[str, Policy]) -> Told:
        """Tells of tools that are known only once a call of them is made, under the agent's policies."""

        def tell(tool: ToolDefinition) -> ToolSpec | None:
            found = next((spec for one in self.tellers if (spec := one(tool)) is not None), None)
            return tightened(found, policies.get(tool.name)) if found is not None else None

        return tell

    def add_tools(self, specs: Sequence[ToolSpec]) -> None:
        """Put in further tools, which the journal knows then."""
        if specs:
            tools = FunctionToolset[AgentContext]([spec.tool for spec in specs], max_retries=2)
            self.add(toolsets=[tools], specs=specs)


def sending(shared: Workshop, attempt: Attempt, definition: AgentDefinition) -> Sending:
    """What fits the requests of the attempt into the window of its model."""
    window = definition.context.window_tokens or shared.models.window
    return Sending(attempt, definition.context, window, Summariser(attempt, shared.database))


async def equip(shared: Workshop, attempt: Attempt, definition: AgentDefinition) -> Equipment:
    """Everything that this attempt needs. The attempt is loaded; no unit is open."""
    extra = Equipment(settings=settings_of(definition, attempt.run))
    extra.add(capabilities=[Interjections(attempt), sending(shared, attempt, definition)])
    if Brief.of(attempt.run.input) is not None:
        extra.add(capabilities=[Citing()], instructions=words_of(attempt.run))
    notes = await memories.given(shared.database, attempt.run, definition.memory)
    if notes:
        attempt.tainted.update(source for note in notes for source in note.taint)
        extra.add(instructions=[remembered(notes)])
    extra.add(instructions=sidekick.words(shared, attempt))
    extra.add_tools(sidekick.client_tools(attempt))
    papers = await hand_over(shared, attempt)
    if papers:
        extra.add_tools([reading(papers)])
    check_output(shared, attempt, definition, papers, extra)
    extra.add(instructions=instructions_of(attempt.run))
    delegation = await delegation_of(shared, attempt, definition)
    if delegation is not None:
        extra.add(toolsets=[delegation.toolset], specs=[delegation.spec])
        extra.spent = delegation.spent
    own = shared.registry.own(definition.name)
    if own is not None:
        extra.output = extra.output or own.output
        extra.add(instructions=[shared.registry.pattern(attempt.run.pattern).instructions])
        extra.tellers.append(spec_of)
    if definition.mcp:
        extra.add(toolsets=servers_of(shared, definition))
        extra.tellers.append(spec_teller(shared, definition))
    return extra


def check_output(
    shared: Workshop, attempt: Attempt, definition: AgentDefinition, papers: Sequence[Paper], extra: Equipment
) -> None:
    """Hold structured answers against the schema that holds: the run's own, else the agent's."""
    own: dict[str, Any] | None = attempt.run.input.get("output_schema")
    schema = own or definition.output_schema
    if schema is None:
        return
    if own is not None:
        extra.output = shared.registry.output_of(own)

    def wrong(output: Any) -> list[str]:
        return [*violations(schema, output), *(unproven(definition.name, papers, output) if own is None else [])]

    extra.add(capabilities=[OutputCheck(attempt, wrong)])
