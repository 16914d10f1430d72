"""From what a client asks for to an order that can be submitted: pattern, agent, model and addresses settled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.agents.definition import AgentDefinition
from app.agents.llm import ModelSource
from app.agents.pattern import Pattern
from app.agents.registry import AgentRegistry
from app.database.unit import Unit
from app.integrations.http import OutboundGuard
from app.integrations.vault import Vault
from app.models.errors import InvalidInput, NotFound
from app.models.notification import NotificationConfig
from app.models.run import Limits
from app.models.target import TargetIn, TargetPolicy
from app.services.definitions import find
from app.services.tuning import check_model


@dataclass(frozen=True, slots=True)
class Desk:
    """What a door needs to turn a wish into an order. `max_attempts` is the operator's ceiling.

    `min_seconds` is the least time between two due times of a schedule; `base_url` is where this server is reached;
    `context_bytes` the most that the context of a conversation may have.
    """

    registry: AgentRegistry
    models: ModelSource
    guard: OutboundGuard
    vault: Vault
    max_attempts: int = 10
    min_seconds: float = 60
    production: bool = False
    base_url: str = ""
    context_bytes: int = 65_536

    def tool_names(self) -> list[str]:
        """Names that tools have already."""
        return [tool.name for tool in self.registry.tools()]

    def pattern(self, name: str, *, background: bool) -> Pattern:
        """The pattern of that name, if it runs that way. Raises InvalidInput."""
        pattern = self.registry.pattern(name)
        if (pattern.lane != "interactive") is not background:
            door = "/conversations" if background else "/tasks"
            raise InvalidInput(f"The pattern {name} is served at {door}.", code="wrong_door")
        return pattern

    async def agent(self, unit: Unit, pattern: Pattern, name: str | None) -> AgentDefinition:
        """The agent of that name, or the pattern's own. Raises InvalidInput for one that is not there."""
        try:
            return await find(unit, self.registry, name or pattern.default_agent)
        except NotFound as error:
            raise InvalidInput(error.detail, code="agent_not_found") from None

    def check_model(self, name: str | None, limits: Limits) -> None:
        """Refuse a model that nobody could call, and a money budget on one whose price is unknown."""
        check_model(self.models, name, limits)

    def check_rules(
        self, config: NotificationConfig | None, agent: AgentDefinition, schema: Mapping[str, Any] | None = None
    ) -> None:
        """Refuse to wait for an answer that says whether it is worth telling from an agent that never says so.

        `schema` stands for the agent's own, if there is one.
        """
        if config is None or "worth_telling" not in (config.notify_on or ()):
            return
        said = (schema or agent.output_schema or {}).get("properties", {}).get("notify", {})
        if said.get("type") != "boolean":
            raise InvalidInput(
                f"notification_config.notify_on: the agent {agent.name} does not say whether something is worth "
                "telling; use one whose answer has a boolean `notify`, such as watcher.",
                code="agent_never_tells",
            )

    def targets(self, targets: list[TargetIn], *, default: TargetPolicy) -> list[dict[str, Any]]:
        """The targets as they are stored. Raises InvalidInput for a name used twice or an address that is not open."""
        names = [target.name for target in targets]
        if len(set(names)) != len(names):
            raise InvalidInput("targets: two targets have the same name.", code="duplicate_target")
        for target in targets:
            self.guard.check_url(target.url)
        return [{**target.model_dump(), "approval": target.approval or default} for target in targets]
