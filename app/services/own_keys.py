"""The owner's API keys, as the command line manages them. Each function opens the unit that it needs."""

from uuid import UUID

from pydantic import ValidationError

from app.database.connection import Database
from app.models.errors import InvalidInput
from app.models.identity import KeyCreate, KeyCreated, KeyOut
from app.services import keys, users


async def create(database: Database, pepper: bytes, **wanted: object) -> KeyCreated:
    """Make a key in the owner's workspace; the answer is the only place that shows its secret.

    `wanted` are the fields of KeyCreate. Raise InvalidInput.
    """
    try:
        order = KeyCreate.model_validate(wanted)
    except ValidationError as error:
        raise InvalidInput("; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())) from None
    owner = await users.local_owner(database)
    async with database.begin(owner.workspace_id) as unit:
        return await keys.create(unit, owner, pepper, order)


async def every(database: Database) -> list[KeyOut]:
    """Return the keys of the owner's workspace, the newest 200 of them."""
    owner = await users.local_owner(database)
    async with database.begin(owner.workspace_id) as unit:
        return await keys.show(unit, await keys.page(unit, limit=200, after=None))


async def revoke(database: Database, key_id: UUID) -> KeyOut:
    """Revoke a key of the owner's workspace. Raise NotFound."""
    owner = await users.local_owner(database)
    async with database.begin(owner.workspace_id) as unit:
        return await keys.revoke(unit, key_id)
