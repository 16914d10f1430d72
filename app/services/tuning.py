"""How a run's model is asked: what its agent says, and what a message or task may say otherwise."""

from typing import Any

from pydantic_ai.settings import ModelSettings

from app.agents.definition import AgentDefinition
from app.agents.llm import ModelSource
from app.agents.prices import price_known
from app.models.agent import ModelTuning, Overrides
from app.models.errors import InvalidInput, SettingError
from app.models.run import Limits, Run


def check_model(models: ModelSource, name: str | None, limits: Limits) -> None:
    """Refuse a model that nobody could call, and a money budget on one whose price is unknown. Raises InvalidInput."""
    if name is not None:
        try:
            models.check(models.name(name))
        except SettingError as error:
            raise InvalidInput(str(error), code="model_not_available") from None
    if limits.cost_usd is not None and not price_known(models.name(name)):
        raise InvalidInput(
            "limits.cost_usd: the price of this model is not known, so a budget cannot be kept. Limit tokens.",
            code="unpriced_model",
        )


def accepted(agent: AgentDefinition, wanted: Overrides | None, at: str = "body.overrides") -> dict[str, Any]:
    """What is said otherwise, as JSON. Raises InvalidInput for what the agent does not allow."""
    said = wanted.model_dump(mode="json", exclude_none=True) if wanted is not None else {}
    for name in said:
        check_allowed(agent, name, f"{at}.{name}")
    return said


def check_allowed(agent: AgentDefinition, name: str, at: str) -> None:
    """Refuse to say this otherwise where the agent does not allow it. Raises InvalidInput."""
    if name not in agent.overrides:
        allowed = ", ".join(agent.overrides) or "nothing"
        raise InvalidInput(
            f"{at}: the agent {agent.name} does not let this be overridden; it allows: {allowed}.",
            code="override_not_allowed",
        )


def settings_of(agent: AgentDefinition, run: Run) -> ModelSettings:
    """The settings of the run's model requests."""
    said = {name: value for name, value in overrides_of(run).items() if name in ModelTuning.model_fields}
    return ModelSettings(**{**agent.model_settings.model_dump(exclude_none=True), **said})


def instructions_of(run: Run) -> list[str]:
    """What the model reads after its agent's own instructions."""
    appended = overrides_of(run).get("instructions_append")
    return [appended] if appended else []


def overrides_of(run: Run) -> dict[str, Any]:
    """What the run's message or task said otherwise."""
    return run.input.get("overrides") or {}
