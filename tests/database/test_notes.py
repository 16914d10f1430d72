"""Notes of a user: kept, found, replaced, forgotten, and nobody else's."""

from app.database.connection import Database
from app.services import users


async def test_notes_belong_to_one_user(database: Database) -> None:
    owner = await users.local_owner(database)
    async with database.begin(owner.workspace_id) as unit:
        ada = (await unit.users.see("ada")).id
        await unit.notes.remember(ada, "colour", "Her favourite colour is green")
        await unit.notes.remember(ada, "pet", "A cat named 100%_sure")
        await unit.notes.remember(owner.user_id, "colour", "blue")
        await unit.notes.remember(ada, "colour", "Her favourite colour is red")
    async with database.begin(owner.workspace_id) as unit:
        assert [note.text for note in await unit.notes.recall(ada, "favourite colours?")] == [
            "Her favourite colour is red"
        ]
        assert {note.key for note in await unit.notes.recall(ada, "")} == {"colour", "pet"}
        assert [note.key for note in await unit.notes.recall(ada, "100%_")] == ["pet"]
        assert await unit.notes.recall(ada, "%%%") == []
        assert await unit.notes.recall(ada, "blue") == []
        assert await unit.notes.forget(ada, "pet")
        assert not await unit.notes.forget(ada, "pet")
        assert [note.text for note in await unit.notes.recall(owner.user_id, "colour")] == ["blue"]


async def test_a_user_is_made_on_first_sight_and_known_after(database: Database) -> None:
    first, second = await users.local_owner(database), await users.local_owner(database)
    assert first == second
    async with database.begin(first.workspace_id) as unit:
        seen = await unit.users.see("ada")
        assert (await unit.users.see("ada")).id == seen.id
        owner = await unit.users.owner()
        assert owner is not None
        assert (owner.id, owner.external_id) == (first.user_id, "owner")
        assert await unit.users.names([seen.id, owner.id]) == {seen.id: "ada", owner.id: "owner"}


async def test_a_process_reports_itself_until_it_leaves(database: Database) -> None:
    async with database.across() as unit:
        await unit.processes.report("p1", role="worker", version="1", host="h", pid=1, load={"runs": 1})
        await unit.processes.report("p1", role="worker", version="1", host="h", pid=1, load={"runs": 2})
    async with database.across() as unit:
        (present,) = await unit.processes.present()
        assert (present.id, present.load) == ("p1", {"runs": 2})
        assert await unit.processes.queue_age() == {}
        await unit.processes.leave("p1")
        assert await unit.processes.present() == []
