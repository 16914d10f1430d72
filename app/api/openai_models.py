"""Agents as the models of the OpenAI API."""

from typing import Any, Literal

from fastapi import APIRouter, Path
from pydantic import Field

from app.agents.definition import AgentDefinition
from app.api.deps import DeskDep, ReadRuns, RuntimeDep, UnitDep
from app.api.examples_openai import MODEL
from app.api.openai_errors import openai_answers
from app.api.route import StrictRoute
from app.models.errors import NotFound
from app.models.identity import Principal
from app.models.wire import Outbound
from app.runtime import Runtime
from app.services import agents
from app.services.definitions import look_up

router = APIRouter(route_class=StrictRoute, tags=["openai"])

PREFIX = "sixlane/"


class ModelOut(Outbound):
    """An agent, as a model."""

    id: str = Field(examples=["assistant"])
    object: Literal["model"] = "model"
    created: int = Field(examples=[0])
    owned_by: str = Field(examples=["sixlane"])


class ModelList(Outbound):
    """Every agent."""

    object: Literal["list"] = "list"
    data: list[ModelOut]


async def agent_named(runtime: Runtime, principal: Principal, model: str) -> AgentDefinition:
    """The agent that a model stands for. Raises NotFound."""
    try:
        name = model.removeprefix(PREFIX)
        return await look_up(runtime.database, runtime.registry, principal.workspace_id, name)
    except NotFound as error:
        extra: dict[str, Any] = {"param": "model"}
        raise NotFound(
            f"{error.detail} GET /v1/models lists those there are.", code="model_not_found", extra=extra
        ) from None


def _shown(name: str) -> ModelOut:
    return ModelOut(id=name, created=0, owned_by="sixlane")


@router.get("/v1/models", responses=openai_answers(200, {"object": "list", "data": [MODEL]}))
async def list_models(unit: UnitDep, desk: DeskDep, _principal: ReadRuns) -> ModelList:
    """List the agents, each as a model."""
    return ModelList(data=[_shown(agent.name) for agent in await agents.listed(unit, desk.registry)])


@router.get("/v1/models/{model}", responses=openai_answers(200, MODEL, 404))
async def get_model(runtime: RuntimeDep, principal: ReadRuns, model: str = Path(examples=["assistant"])) -> ModelOut:
    """Get one agent as a model."""
    return _shown((await agent_named(runtime, principal, model)).name)
