"""A new first key of the ring: everything that was sealed under another one is sealed anew, while all goes on."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from app.database.connection import Database
from app.database.stores.sealed import COLUMNS, Sealed
from app.integrations.vault import SealBroken, Vault

BATCH = 200
MOST_ROUNDS = 100
PAUSE_SECONDS = 0.05

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation came to: secrets that were sealed anew, and those by column that no key of the ring opens."""

    resealed: int
    left: dict[str, int]


async def rotate(database: Database, vault: Vault) -> Rotation:
    """Seal everything under the first key of the ring. Begun again, or by several at once, it does what is left.

    In batches of short transactions; a secret that is being changed meanwhile is looked at again a moment later.
    """
    resealed = 0
    for _ in range(MOST_ROUNDS):
        counts = [await _column(database, vault, number) for number in range(len(COLUMNS))]
        resealed += sum(done for done, _ in counts)
        left = await remaining(database, vault)
        if sum(left.values()) <= sum(broken for _, broken in counts):
            return Rotation(resealed, left)
        await asyncio.sleep(PAUSE_SECONDS)
    return Rotation(resealed, await remaining(database, vault))


async def remaining(database: Database, vault: Vault) -> dict[str, int]:
    """How many secrets of each column are sealed under another key than the first."""
    async with database.across() as unit:
        return await unit.sealed.count(vault.head)


async def _column(database: Database, vault: Vault, number: int) -> tuple[int, int]:
    """One walk through a column: how many secrets were sealed anew, and how many cannot be opened."""
    done = broken = 0
    after: tuple[UUID, UUID] | None = None
    while True:
        async with database.across() as unit:
            rows = await unit.sealed.others(number, vault.head, after=after, limit=BATCH)
            anew = _anew(vault, number, rows)
            await unit.sealed.put(number, anew)
        done, broken = done + len(anew), broken + len(rows) - len(anew)
        if len(rows) < BATCH:
            return done, broken
        after = (rows[-1].workspace_id, rows[-1].id)


def _anew(vault: Vault, number: int, rows: Sequence[Sealed]) -> list[Sealed]:
    column, anew = COLUMNS[number], list[Sealed]()
    for row in rows:
        place = (column.table.name, column.name, str(row.workspace_id), str(row.id))
        try:
            anew.append(Sealed(row.workspace_id, row.id, vault.reseal(row.sealed, *place)))
        except SealBroken as error:
            log.error("rotation.unreadable", table=place[0], column=place[1], id=place[3], reason=str(error))
    return anew
