"""A triggered task made ready to check requests: its trigger read, its secrets opened."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

import structlog

from app.database.stores.triggers import Standing
from app.integrations.vault import SealBroken, Vault
from app.models.task import Task
from app.models.trigger import TriggerConfig, needs_secret
from app.services.signatures import key_of

PATTERN = "triggered"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gate:
    """What webhooks are checked with. In `local` mode a task may do without signatures."""

    vault: Vault
    tolerance_seconds: float
    local: bool


@dataclass(frozen=True, slots=True)
class Armed:
    """A task as it stood `read_at` (monotonic), ready to check requests: its trigger and its opened secrets."""

    task: Task
    config: TriggerConfig
    secret_ids: tuple[UUID, ...]
    keys: tuple[bytes, ...]
    now: float
    read_at: float

    @property
    def clock(self) -> float:
        """The ledger's present time, in Unix seconds."""
        return self.now + (monotonic() - self.read_at)

    def same(self, standing: Standing) -> bool:
        """Whether a request would be judged now as it was: nothing of the task that matters here has changed."""
        task, other = self.task, standing.task
        return (
            task.trigger == other.trigger
            and task.prompt == other.prompt
            and task.disabled_at == other.disabled_at
            and task.paused_at == other.paused_at
            and self.secret_ids == tuple(one[0] for one in standing.secrets)
        )


def arm(standing: Standing, gate: Gate) -> Armed:
    """The task with its trigger and its opened secrets."""
    config = config_of(standing.task, gate)
    ids = tuple(one[0] for one in standing.secrets)
    keys = keys_of(standing.task, config, standing.secrets, gate)
    return Armed(standing.task, config, ids, keys, standing.now.timestamp(), monotonic())


def config_of(task: Task, gate: Gate) -> TriggerConfig:
    """The task's trigger, with the operator's tolerance where it has none of its own."""
    config = TriggerConfig.model_validate(task.trigger or {})
    if config.tolerance_seconds is not None:
        return config
    return config.model_copy(update={"tolerance_seconds": gate.tolerance_seconds})


def keys_of(task: Task, config: TriggerConfig, secrets: Iterable[tuple[UUID, bytes]], gate: Gate) -> tuple[bytes, ...]:
    """The keys of sealed secrets (id, sealed). One that cannot be opened is left out, which lets nobody in."""
    keys: list[bytes] = []
    for secret_id, sealed in secrets:
        try:
            plain = gate.vault.open(sealed, *place(task.workspace_id, secret_id))
            keys.append(key_of(config.scheme, plain.decode()))
        except (SealBroken, ValueError) as error:
            log.error("webhook.secret_unusable", task_id=str(task.id), reason=str(error))
    return tuple(keys)


def takes_unsigned(config: TriggerConfig, secrets: Collection[object], gate: Gate) -> bool:
    """Whether the owner may call the webhook unsigned from this machine."""
    return gate.local and not secrets and not needs_secret(config, production=False)


def place(workspace_id: UUID, secret_id: UUID) -> tuple[str, str, str, str]:
    """Where a secret is stored; it opens nowhere else."""
    return ("webhook_secrets", "sealed", str(workspace_id), str(secret_id))
