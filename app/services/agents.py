"""Agents that a workspace defines: made, changed by new versions, listed and archived."""

import json
from uuid import UUID

from app.agents.definition import AgentDefinition
from app.agents.registry import AgentRegistry
from app.agents.schemas import check_schema
from app.database.unit import Unit
from app.models.agent import AgentCreate, AgentOut, AgentPatch, AgentVersion
from app.models.errors import Conflict, InvalidInput, NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.services import definitions
from app.services.definitions import find
from app.services.idempotency import Once, earlier
from app.services.orders import Desk

MOST_AGENTS = 500
"""How many agents a workspace can define."""

DELEGATE = "delegate"
"""The tool by which an agent hands work to another one."""

_NULLABLE = frozenset({"model", "output_schema"})


async def create(
    unit: Unit, principal: Principal, wanted: AgentCreate, *, desk: Desk, once: Once | None
) -> tuple[AgentDefinition, bool]:
    """Define an agent; also whether an earlier request had done it. The name of an archived one may be used again.

    Raises InvalidInput for a definition that could not run, Conflict for a name that is taken.
    """
    definition = _definition(wanted.model_dump(mode="json"))
    await _check(unit, desk, definition)
    if await earlier(unit, once, new_id()) is not None:
        return await find(unit, desk.registry, definition.name), True
    if desk.registry.known(definition.name) is not None:
        raise Conflict(f"The name {definition.name!r} belongs to an agent of the server.", code="agent_name_taken")
    if await unit.agents.count() >= MOST_AGENTS:
        raise Conflict(f"A workspace has at most {MOST_AGENTS} agents; archive one first.", code="too_many_agents")
    await definitions.store(unit, definition)
    if not await unit.agents.add(definition.name, definition.version, principal.id):
        raise Conflict(f"There is an agent {definition.name!r} already.", code="agent_name_taken")
    return definition, False


async def change(unit: Unit, name: str, wanted: AgentPatch, *, desk: Desk) -> AgentDefinition:
    """Make a new version of what the fields name; runs that began keep theirs.

    Raises NotFound, InvalidInput, and Conflict for an agent of the server.
    """
    present = await _own(unit, desk.registry, name)
    given = wanted.model_dump(mode="json", include=wanted.model_fields_set)
    for field, value in given.items():
        if value is None and field not in _NULLABLE:
            raise InvalidInput(f"body.{field}: give a value, or leave the field out.")
    definition = _definition({**present.model_dump(mode="json"), **given})
    if definition.version != present.version:
        await _check(unit, desk, definition)
        await definitions.store(unit, definition)
        await unit.agents.point(name, definition.version)
    return definition


async def archive(unit: Unit, registry: AgentRegistry, name: str) -> None:
    """Take the agent out of use; its versions and the runs that began with them stay. Raises NotFound, Conflict."""
    await _own(unit, registry, name)
    await unit.agents.archive(name)


async def _own(unit: Unit, registry: AgentRegistry, name: str) -> AgentDefinition:
    if registry.known(name) is not None:
        raise Conflict(f"The agent {name!r} belongs to the server and cannot be changed here.", code="agent_not_yours")
    stored = await unit.agents.current(name, lock=True)
    if stored is None:
        raise NotFound(f"There is no agent {name!r}.", code="agent_not_found")
    return AgentDefinition.model_validate(stored)


async def listed(unit: Unit, registry: AgentRegistry) -> list[AgentDefinition]:
    """Every agent that can be run here, by name."""
    own = [AgentDefinition.model_validate(document) for document in await unit.agents.all()]
    found = {definition.name: definition for definition in [*own, *registry.list()]}
    return [found[name] for name in sorted(found)]


async def current_version(unit: Unit, registry: AgentRegistry, name: str) -> str | None:
    """The version that new runs use; None for an agent that is archived. Raises NotFound for one that never was."""
    try:
        return (await find(unit, registry, name)).version
    except NotFound:
        if await unit.agents.versions(name, limit=1, after=None):
            return None
        raise


async def versions(unit: Unit, name: str, *, limit: int, after: UUID | None) -> list[AgentVersion]:
    """What is stored of an agent, the newest first: every version that was current or that a run began with."""
    return await unit.agents.versions(name, limit=limit, after=after)


async def version(unit: Unit, registry: AgentRegistry, name: str, wanted: str) -> AgentDefinition:
    """One version of an agent. Raises NotFound."""
    known = registry.known(name)
    if known is not None and known.version == wanted:
        return known
    stored = await unit.agents.find(name, wanted)
    if stored is None:
        raise NotFound(f"There is no version {wanted!r} of an agent {name!r}.", code="agent_version_not_found")
    return AgentDefinition.model_validate(stored)


def show(registry: AgentRegistry, definition: AgentDefinition) -> AgentOut:
    """An agent as clients see it."""
    document = {**definition.model_dump(), "version": definition.version, "source": registry.source(definition.name)}
    return AgentOut.model_validate({name: document[name] for name in AgentOut.model_fields}, from_attributes=False)


def _definition(document: dict[str, object]) -> AgentDefinition:
    return AgentDefinition.model_validate_json(json.dumps(document))


async def _check(unit: Unit, desk: Desk, definition: AgentDefinition) -> None:
    """Refuse what could not run. Raises InvalidInput naming the field."""
    if definition.output_schema is not None:
        check_schema(definition.output_schema)
    desk.registry.check(definition)
    desk.check_model(definition.model, definition.limits)
    for name in definition.sub_agents:
        if name != definition.name:
            await _check_sub_agent(unit, desk, name)
    _check_servers(desk, definition)
    _check_policies(definition)


async def _check_sub_agent(unit: Unit, desk: Desk, name: str) -> None:
    try:
        await find(unit, desk.registry, name)
    except NotFound as error:
        raise InvalidInput(f"body.sub_agents: {error.detail}", code="agent_not_found") from None


def _check_servers(desk: Desk, definition: AgentDefinition) -> None:
    names = [source.name for source in definition.mcp]
    if len(set(names)) != len(names):
        raise InvalidInput("body.mcp: two servers have the same name.", code="duplicate_server")
    for source in definition.mcp:
        configured = source.name in desk.registry.servers
        if desk.registry.shadows(source.name):
            raise InvalidInput(f"body.mcp: tools of our own begin with {source.name!r}.", code="reserved_name")
        if source.url is None and not configured:
            known = ", ".join(sorted(desk.registry.servers)) or "none"
            raise InvalidInput(
                f"body.mcp: the operator has configured no server {source.name!r} (SIXLANE_MCP has: {known}). "
                "Give its url, or another name.",
                code="unknown_mcp_server",
            )
        if source.url is not None and configured:
            raise InvalidInput(
                f"body.mcp: {source.name!r} is the name of a server that the operator has configured; leave the url "
                "out, or choose another name.",
                code="duplicate_server",
            )
        if source.url is not None:
            desk.guard.check_url(source.url)


def _check_policies(definition: AgentDefinition) -> None:
    known = {*definition.tools, *([DELEGATE] if definition.sub_agents else [])}
    prefixes = tuple(f"{source.name}_" for source in definition.mcp)
    for tool in definition.policies:
        if tool not in known and not (prefixes and tool.startswith(prefixes)):
            raise InvalidInput(f"body.policies: the agent has no tool {tool!r}.", code="unknown_tool")
