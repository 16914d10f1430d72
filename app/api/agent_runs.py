"""The agent runner: begin a run of one of the document agents, and ask how it goes."""

from fastapi import APIRouter, Response

from app.api.deps import DeskDep, ObjectId, OnceDep, ReadRuns, RunTasks, RuntimeDep, UnitDep, mark
from app.api.examples import answers
from app.api.examples_agent_runs import AGENT_RUN, STARTED
from app.api.route import StrictRoute
from app.models.agent_run import AgentRunCreate, AgentRunOut, AgentRunStarted
from app.services import agent_runner
from app.services.agent_runner import Patience

router = APIRouter(route_class=StrictRoute, tags=["agent runner"])


@router.post("/agents/run", responses=answers(200, STARTED, 409))
async def run_agent(
    body: AgentRunCreate,
    unit: UnitDep,
    principal: RunTasks,
    desk: DeskDep,
    runtime: RuntimeDep,
    once: OnceDep,
    response: Response,
) -> AgentRunStarted:
    """Begin a run of an agent for a user; it goes on in the background.

    409 while a run of the same user is active. A run that executes longer than `AGENT_RUN_TIMEOUT` fails.
    """
    settings = runtime.settings.agent_runs
    patience = Patience(settings.lock_seconds, settings.run_seconds)
    started, replayed = await agent_runner.begin(unit, principal, body, desk=desk, patience=patience, once=once)
    mark(response, f"/agents/status/{started.run_id}", replayed=replayed)
    return started


@router.get("/agents/status/{run_id}", responses=answers(200, AGENT_RUN, 404))
async def agent_run_status(run_id: ObjectId, unit: UnitDep, principal: ReadRuns) -> AgentRunOut:
    """Ask how a run goes: `running`, `completed` with its result, or `failed` with its error."""
    return await agent_runner.look(unit, principal, run_id)
