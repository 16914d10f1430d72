"""A triggered task made ready to check requests: its trigger read, its secrets opened."""

from dataclasses import dataclass
from time import monotonic
from uuid import UUID

import structlog

from app.database.stores.triggers import Standing
from app.integrations.vault import SealBroken, Vault
from app.models.task import Task
from app.models.trigger import TriggerConfig
from app.services.signatures import key_of

PATTERN = "triggered"

log = structlog.get_logger(__name__)


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


def arm(standing: Standing, vault: Vault) -> Armed:
    """Open the secrets of a task. One that cannot be opened is left out, which lets nobody in."""
    task = standing.task
    config = TriggerConfig.model_validate(task.trigger or {})
    keys: list[bytes] = []
    for secret_id, sealed in standing.secrets:
        try:
            plain = vault.open(sealed, *place(task.workspace_id, secret_id))
            keys.append(key_of(config.scheme, plain.decode()))
        except (SealBroken, ValueError) as error:
            log.error("webhook.secret_unusable", task_id=str(task.id), reason=str(error))
    ids = tuple(one[0] for one in standing.secrets)
    return Armed(task, config, ids, tuple(keys), standing.now.timestamp(), monotonic())


def place(workspace_id: UUID, secret_id: UUID) -> tuple[str, str, str, str]:
    """Where a secret is stored; it opens nowhere else."""
    return ("webhook_secrets", "sealed", str(workspace_id), str(secret_id))
