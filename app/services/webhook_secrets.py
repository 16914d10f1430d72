"""The secrets that webhooks are signed with: made, shown once, sealed, and replaced while the old one still holds."""

from datetime import datetime
from uuid import UUID

from app.database.unit import Unit
from app.integrations.vault import Vault
from app.models.errors import Conflict, InvalidInput
from app.models.ids import new_id
from app.models.task import Task
from app.models.trigger import RotateIn, TriggerConfig
from app.services import signatures
from app.services.triggers import place

_SHOWN = 4


async def exists(unit: Unit, task_id: UUID) -> bool:
    """Whether the task has a secret that is valid now."""
    return bool(await unit.inbound.secrets(task_id))


async def new_secret(unit: Unit, vault: Vault, task_id: UUID, given: str | None) -> str:
    """Store the secret of a task whose row is there, the given one or a fresh one; it is returned this once.

    Raises InvalidInput for one that the task's scheme cannot use, and for a scheme that signs nothing.
    """
    row = await unit.tasks.get(task_id)
    assert row is not None
    config = TriggerConfig.model_validate(row.trigger or {})
    if config.scheme == "none":
        raise InvalidInput("body.trigger_config.scheme: unsigned webhooks are for local mode only.")
    return await _store(unit, vault, task_id, config, given, field="body.trigger_config.secret")


async def rotate(unit: Unit, vault: Vault, task: Task, wanted: RotateIn) -> tuple[str, datetime | None]:
    """Give a locked task a new secret; the newest one before it stays valid for the grace, older ones end at once.

    Returns the new secret, and when the one before ends (None: there is none any more).
    """
    config = TriggerConfig.model_validate(task.trigger or {})
    if config.scheme == "none":
        raise Conflict("This webhook takes unsigned requests only; change its scheme first.", code="unsigned_scheme")
    live = await unit.inbound.secrets(task.id)
    keep = live[0].id if live and wanted.grace_hours else None
    ends = await unit.inbound.end_secrets(task.id, keep, wanted.grace_hours)
    return await _store(unit, vault, task.id, config, wanted.secret, field="body.secret"), ends


async def _store(
    unit: Unit, vault: Vault, task_id: UUID, config: TriggerConfig, given: str | None, *, field: str
) -> str:
    secret = given or signatures.new_secret()
    try:
        signatures.key_of(config.scheme, secret)
    except ValueError as error:
        raise InvalidInput(f"{field}: {error}.") from None
    secret_id = new_id()
    await unit.inbound.add_secret(
        {
            "id": secret_id,
            "task_id": task_id,
            "sealed": vault.seal(secret.encode(), *place(unit.workspace_id, secret_id)),
            "hint": f"…{secret[-_SHOWN:]}",
        }
    )
    return secret
