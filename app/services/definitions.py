"""Which definition of an agent a run uses: the one that it was begun with, also after a deploy."""

from app.agents.registry import AgentDefinition, AgentRegistry
from app.database.connection import Database
from app.database.unit import Unit
from app.models.errors import NotFound
from app.models.run import Run


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
