"""Agents: what there is to run, and what a workspace adds to it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response, status

from app.api.deps import DeskDep, OnceDep, ReadRuns, UnitDep, WriteAgents, mark
from app.api.examples import answers, page
from app.api.examples_agents import AGENT, AGENT_VERSION, OWN_AGENT
from app.api.pages import Paging, page_of
from app.api.problems import errors
from app.api.route import StrictRoute
from app.models.agent import AgentCreate, AgentOut, AgentPatch, AgentVersion, AgentVersionOut
from app.models.page import Page
from app.services import agents
from app.services.definitions import find

router = APIRouter(route_class=StrictRoute, tags=["agents"])

AgentPath = Annotated[str, Path(description="The agent's name.", examples=["assistant"])]


@router.post("/agents", status_code=status.HTTP_201_CREATED, responses=answers(201, OWN_AGENT, 409))
async def create_agent(
    body: AgentCreate, unit: UnitDep, principal: WriteAgents, desk: DeskDep, once: OnceDep, response: Response
) -> AgentOut:
    """Define an agent. It can be used at once wherever an agent is named."""
    made, replayed = await agents.create(unit, principal, body, desk=desk, once=once)
    mark(response, f"/agents/{made.name}", replayed=replayed)
    return agents.show(desk.registry, made)


@router.get("/agents", responses=answers(200, page(AGENT)))
async def list_agents(unit: UnitDep, desk: DeskDep, _principal: ReadRuns) -> Page[AgentOut]:
    """List agents by name: the server's and those of the workspace. There is one page."""
    found = [agents.show(desk.registry, agent) for agent in await agents.listed(unit, desk.registry)]
    return Page[AgentOut](data=found, has_more=False, next_cursor=None)


@router.get("/agents/{name}", responses=answers(200, AGENT, 404))
async def get_agent(unit: UnitDep, desk: DeskDep, _principal: ReadRuns, name: AgentPath) -> AgentOut:
    """Get an agent as new runs use it."""
    return agents.show(desk.registry, await find(unit, desk.registry, name))


@router.patch("/agents/{name}", responses=answers(200, OWN_AGENT, 404, 409))
async def change_agent(
    body: AgentPatch, unit: UnitDep, _principal: WriteAgents, desk: DeskDep, name: AgentPath
) -> AgentOut:
    """Change an agent of the workspace. That makes a new version; runs that began keep theirs."""
    return agents.show(desk.registry, await agents.change(unit, name, body, desk=desk))


@router.delete("/agents/{name}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(404, 409))
async def archive_agent(unit: UnitDep, _principal: WriteAgents, desk: DeskDep, name: AgentPath) -> None:
    """Archive an agent of the workspace: nothing new runs on it, and its versions stay readable."""
    await agents.archive(unit, desk.registry, name)


@router.get("/agents/{name}/versions", responses=answers(200, page(AGENT_VERSION), 404))
async def list_versions(
    unit: UnitDep, desk: DeskDep, _principal: ReadRuns, query: Paging, name: AgentPath
) -> Page[AgentVersionOut]:
    """List the versions that were current or that a run began with, the newest first."""
    current = await agents.current_version(unit, desk.registry, name)

    async def read(limit: int, after: UUID | None) -> list[AgentVersion]:
        return await agents.versions(unit, name, limit=limit, after=after)

    async def show(rows: list[AgentVersion]) -> list[AgentVersionOut]:
        return [
            AgentVersionOut(version=row.version, current=row.version == current, created_at=row.created_at)
            for row in rows
        ]

    return await page_of(unit.workspace_id, query, read, show)


@router.get("/agents/{name}/versions/{version}", responses=answers(200, AGENT, 404))
async def get_version(
    unit: UnitDep,
    desk: DeskDep,
    _principal: ReadRuns,
    name: AgentPath,
    version: Annotated[str, Path(examples=["3f9a1c20b7de"])],
) -> AgentOut:
    """Get one version of an agent, also of one that is archived."""
    return agents.show(desk.registry, await agents.version(unit, desk.registry, name, version))
