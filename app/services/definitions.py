"""Which definition of an agent a run uses: the one that it was begun with, also after a deploy."""

from uuid import UUID

from app.agents.definition import AgentDefinition, merge_limits
from app.agents.llm import ModelSource
from app.agents.registry import AgentRegistry
from app.database.connection import Database
from app.database.unit import Unit
from app.models.errors import LeaseLost, NotFound
from app.models.run import Limits, Run


async def find(unit: Unit, registry: AgentRegistry, name: str) -> AgentDefinition:
    """The agent that new runs of that name use: the server's own, else one that the workspace has defined.

    Raises NotFound.
    """
    known = registry.known(name)
    if known is not None:
        return known
    stored = await unit.agents.current(name)
    if stored is None:
        raise NotFound(f"There is no agent {name!r}.", code="agent_not_found")
    return AgentDefinition.model_validate(stored)


async def look_up(database: Database, registry: AgentRegistry, workspace_id: UUID, name: str) -> AgentDefinition:
    """The same for callers that hold no unit; the server's own agents cost no query. Raises NotFound."""
    known = registry.known(name)
    if known is not None:
        return known
    async with database.begin(workspace_id) as unit:
        return await find(unit, registry, name)


async def store(unit: Unit, definition: AgentDefinition) -> None:
    """Store a definition under its version."""
    await unit.agents.keep(definition.name, definition.version, definition.model_dump(mode="json"))


async def definition_of(database: Database, registry: AgentRegistry, run: Run) -> AgentDefinition:
    """The definition that the run was begun with; the present one when that version was never stored.

    Raises NotFound.
    """
    present = registry.known(run.agent)
    if present is not None and present.version == run.agent_version:
        return present
    async with database.begin(run.workspace_id) as unit:
        stored = await unit.agents.find(run.agent, run.agent_version)
        return await find(unit, registry, run.agent) if stored is None else AgentDefinition.model_validate(stored)


async def settle(database: Database, registry: AgentRegistry, models: ModelSource, run: Run) -> Run:
    """The run with agent version, model and limits, written under its fence if it was begun without them.

    The clock, webhooks and chains know no agents; the first executor decides. Raises NotFound, LeaseLost.
    """
    if run.agent_version:
        return run
    async with database.begin(run.workspace_id) as unit:
        definition = await find(unit, registry, run.agent)
        given, usual = Limits.model_validate(run.limits), registry.pattern(run.pattern).limits
        limits = merge_limits(given, definition.limits, usual)
        await store(unit, definition)
        settled = await unit.runs.checkpoint(
            run.id,
            run.fence,
            agent_version=definition.version,
            model=models.name(run.model or definition.model),
            limits=limits.model_dump(mode="json", exclude_none=True),
        )
    if settled is None:
        raise LeaseLost
    return settled
