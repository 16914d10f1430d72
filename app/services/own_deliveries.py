"""The owner's notifications, as the command line manages them. Each function opens the unit that it needs."""

from typing import get_args
from uuid import UUID

from app.database.connection import Database
from app.models.delivery import DeliveryDetail, DeliveryOut, DeliveryStatus
from app.models.errors import InvalidInput
from app.services import deliveries, users


async def every(database: Database, *, status: str | None, limit: int, base_url: str | None) -> list[DeliveryOut]:
    """The latest deliveries of the owner's workspace, of one status when it is given. Raise InvalidInput."""
    if status is not None and status not in get_args(DeliveryStatus):
        raise InvalidInput(f"There is no status {status!r}; use one of {', '.join(get_args(DeliveryStatus))}.")
    owner = await users.local_owner(database)
    chosen = {} if status is None else {"status": status}
    async with database.begin(owner.workspace_id) as unit:
        rows = await deliveries.page(unit, owner, limit=limit, after=None, **chosen)
        return await deliveries.show(unit, rows, base_url=base_url)


async def one(database: Database, delivery_id: UUID, *, base_url: str | None) -> DeliveryDetail:
    """A delivery with its attempts and what was sent. Raise NotFound."""
    owner = await users.local_owner(database)
    async with database.begin(owner.workspace_id) as unit:
        row = await deliveries.get(unit, owner, delivery_id)
        return await deliveries.detail(unit, row, base_url=base_url)


async def resend(database: Database, delivery_id: UUID, *, base_url: str | None) -> DeliveryOut:
    """Have a delivery that is over sent again; the new one. Raise NotFound, Conflict."""
    owner = await users.local_owner(database)
    async with database.begin(owner.workspace_id) as unit:
        row, _ = await deliveries.resend(unit, owner, delivery_id, once=None)
        return (await deliveries.show(unit, [row], base_url=base_url))[0]
