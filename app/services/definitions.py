"""Which definition of an agent a run uses: the one that it was begun with, also after a deploy."""

from app.agents.definition import AgentDefinition, merge_limits
from app.agents.llm import ModelSource
from app.agents.registry import AgentRegistry
from app.database.connection import Database
from app.database.unit import Unit
from app.models.errors import LeaseLost, NotFound
from app.models.run import Limits, Run


async def store(unit: Unit, definition: AgentDefinition) -> None:
    """Store a definition under its version."""
    await unit.agents.keep(definition.name, definition.version, definition.model_dump(mode="json"))


async def definition_of(database: Database, registry: AgentRegistry, run: Run) -> AgentDefinition:
    """The definition that the run was begun with; the present one when that version was never stored."""
    try:
        present: AgentDefinition | None = registry.get(run.agent)
    except NotFound:
        present = None
    if present is not None and present.version == run.agent_version:
        return present
    async with database.begin(run.workspace_id) as unit:
        stored = await unit.agents.find(run.agent, run.agent_version)
    if stored is not None:
        return AgentDefinition.model_validate(stored)
    if present is None:
        raise NotFound(f"There is no agent {run.agent!r} any more.", code="agent_not_found")
    return present


async def settle(database: Database, registry: AgentRegistry, models: ModelSource, run: Run) -> Run:
    """The run with agent version, model and limits, written under its fence if it was begun without them.

    The clock, webhooks and chains know no agents; the first executor decides. Raises NotFound, LeaseLost.
    """
    if run.agent_version:
        return run
    definition = registry.get(run.agent)
    limits = merge_limits(Limits.model_validate(run.limits), definition.limits, registry.pattern(run.pattern).limits)
    async with database.begin(run.workspace_id) as unit:
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
