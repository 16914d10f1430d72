"""A new key of the ring: everything is sealed anew under load, and the old key is not needed any more."""

import asyncio

import pytest
from sqlalchemy import LargeBinary, text

from app.database.connection import Database
from app.database.models import metadata
from app.database.stores.sealed import COLUMNS
from app.integrations.vault import SealBroken, Vault
from app.models.identity import SCOPES
from app.models.ids import new_id
from app.services import key_rotation, keys
from app.services.google_tokens import seal_place

OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)
TOKENS = 500


def test_every_sealed_column_is_known() -> None:
    there = {
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, LargeBinary) and column.name.startswith("sealed")
    }
    assert {f"{column.table.name}.{column.name}" for column in COLUMNS} == there


async def fill(database: Database, vault: Vault) -> list[tuple[str, str, str, str]]:
    """People with connections, links on their way and webhook secrets; the places of all that was sealed."""
    async with database.across() as across:
        workspace = await across.directory.workspace("default")
    places: list[tuple[str, str, str, str]] = []

    def sealed(table: str, column: str, row_id: object) -> bytes:
        place = (table, column, str(workspace.id), str(row_id))
        places.append(place)
        return vault.seal(" ".join(place).encode(), *place)

    for number in range(TOKENS):
        async with database.begin(workspace.id) as unit:  # one each: the ledger ends a unit that takes seconds
            user, row_id, state_id = await unit.users.see(f"user-{number}"), new_id(), new_id()
            columns = {name: sealed("connections", name, row_id) for name in ("sealed_refresh", "sealed_access")}
            values = {"id": row_id, "user_id": user.id, "subject": "1", "account": "a@example.com", "scopes": []}
            await unit.connections.put({**values, **columns}, access_seconds=9)
            if number % 25 == 0:
                state = {"id": state_id, "user_id": user.id, "state_hash": state_id.bytes, "nonce": "", "scopes": []}
                verifier = sealed("oauth_states", "sealed_verifier", state_id)
                await unit.connections.add_state({**state, "sealed_verifier": verifier}, seconds=9)
    return places


async def opened(database: Database, vault: Vault, places: list[tuple[str, str, str, str]]) -> int:
    """How many of the secrets open."""
    found = 0
    async with database.across() as unit:
        for column in COLUMNS:
            name = f"{column.table.name}.{column.name}"
            statement = (
                f"SELECT workspace_id, id, {column.name} FROM {column.table.name} WHERE {column.name} IS NOT NULL"
            )
            for row in await unit.connection.execute(text(statement)):
                place = (*name.split("."), str(row[0]), str(row[1]))
                if place in places:
                    plain = vault.open(bytes(row[2]), *place)
                    assert plain in (" ".join(place).encode(), b"changed")
                    found += 1
    return found


async def test_a_thousand_tokens_are_sealed_anew_under_load(database: Database) -> None:
    before, both, after = Vault([OLD]), Vault([NEW, OLD]), Vault([NEW])
    places = await fill(database, before)
    assert len(places) > 2 * TOKENS
    ids = [place for place in places if place[1] == "sealed_access"]
    stop = asyncio.Event()
    written = 0

    async def people(first: int) -> None:
        """Tokens are refreshed and read all the time, by processes that know both keys."""
        nonlocal written
        turn = first
        while not stop.is_set():
            table, column, workspace_id, row_id = ids[turn % len(ids)]
            value = both.seal(b"changed", *seal_place(table, column, workspace_id, row_id))  # type: ignore[arg-type]
            async with database.across() as unit:
                await unit.connection.execute(
                    text("UPDATE connections SET sealed_access = :value WHERE id = CAST(:id AS uuid)"),
                    {"value": value, "id": row_id},
                )
                await asyncio.sleep(0.01)
            written, turn = written + 1, turn + 7

    load = [asyncio.ensure_future(people(number)) for number in range(4)]
    try:
        left = await key_rotation.remaining(database, both)
        assert sum(left.values()) > 2 * TOKENS - 10
        rotations = await asyncio.gather(key_rotation.rotate(database, both), key_rotation.rotate(database, both))
    finally:
        stop.set()
        await asyncio.gather(*load)
    assert written > 0
    assert not any(rotations[0].left.values())
    assert len(places) - written <= sum(rotation.resealed for rotation in rotations) <= len(places)
    assert await opened(database, after, places) == len(places)
    assert (await key_rotation.rotate(database, after)).resealed == 0
    with pytest.raises(SealBroken):
        await opened(database, before, places)


async def test_what_no_key_opens_is_left_and_counted(database: Database) -> None:
    places = await fill(database, Vault([("lost", b"l" * 32)]))
    rotation = await key_rotation.rotate(database, Vault([NEW, OLD]))
    assert (rotation.resealed, sum(rotation.left.values())) == (0, len(places))


async def test_an_api_key_that_is_used_survives_the_old_key(database: Database) -> None:
    async with database.across() as across:
        workspace = await across.directory.workspace("default")
    async with database.begin(workspace.id) as unit:
        owner = await unit.users.see("owner")
        issued = await keys.issue(unit, OLD[1], name="k", user_id=owner.id, scopes=SCOPES)
    assert (await keys.KeyChecker(database, (NEW[1], OLD[1])).principal(issued.token)).user_id == owner.id
    assert (await keys.KeyChecker(database, (NEW[1],)).principal(issued.token)).user_id == owner.id
