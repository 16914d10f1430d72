"""Agents: what there is to run."""

from fastapi import APIRouter, Path

from app.agents.definition import AgentDefinition
from app.api.deps import DeskDep, ReadRuns
from app.api.examples import AGENT, answers, page
from app.api.route import StrictRoute
from app.models.agent import AgentOut
from app.models.page import Page

router = APIRouter(route_class=StrictRoute, tags=["agents"])


def _shown(definition: AgentDefinition) -> AgentOut:
    return AgentOut(
        name=definition.name,
        description=definition.description,
        version=definition.version,
        instructions=definition.instructions,
        model=definition.model,
        tools=list(definition.tools),
        limits=definition.limits,
        output_schema=definition.output_schema,
        context=definition.context,
        memory=definition.memory,
    )


@router.get("/agents", responses=answers(200, page(AGENT)))
async def list_agents(desk: DeskDep, _principal: ReadRuns) -> Page[AgentOut]:
    """List agents by name; there is one page."""
    return Page[AgentOut](data=[_shown(agent) for agent in desk.registry.list()], has_more=False, next_cursor=None)


@router.get("/agents/{name}", responses=answers(200, AGENT, 404))
async def get_agent(desk: DeskDep, _principal: ReadRuns, name: str = Path(examples=["assistant"])) -> AgentOut:
    """Get an agent."""
    return _shown(desk.registry.get(name))
