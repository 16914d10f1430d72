"""The log of conversations: one statement to load, append-only, refusing a second writer, scoped, forked, erased."""

import asyncio
import json
from pathlib import Path
from uuid import UUID

import pytest
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from sqlalchemy import event, text

from app.database.connection import Database
from app.database.stores.entries import FORMAT, ConversationLog, read_messages, upcast
from app.models.ids import new_id

GOLDEN = Path(__file__).parent / "golden"


def exchange(number: int) -> list[ModelMessage]:
    return [
        ModelRequest(parts=[UserPromptPart(content=f"question {number}")]),
        ModelResponse(parts=[TextPart(content=f"answer {number}")]),
    ]


async def workspace(database: Database, name: str) -> tuple[UUID, UUID]:
    async with database.across() as unit:
        made = await unit.directory.workspace(name)
    async with database.begin(made.id) as unit:
        user = await unit.users.see("somebody")
    return made.id, user.id


async def conversation(database: Database, workspace_id: UUID, user_id: UUID) -> UUID:
    async with database.begin(workspace_id) as unit:
        row = await unit.conversations.add(
            {"id": new_id(), "user_id": user_id, "pattern": "chatbot", "agent": "assistant"}
        )
    return row.id


async def grow(database: Database, workspace_id: UUID, conversation_id: UUID, *numbers: int) -> None:
    for number in numbers:
        async with database.begin(workspace_id) as unit:
            log = ConversationLog(unit.connection, workspace_id)
            loaded = await log.load(str(conversation_id)) or Conversation(conversation_id=str(conversation_id))
            loaded.messages.extend(exchange(number))
            await log.save(loaded)


async def contents(database: Database, workspace_id: UUID, conversation_id: UUID) -> list[str]:
    async with database.begin(workspace_id) as unit:
        loaded = await ConversationLog(unit.connection, workspace_id).load(str(conversation_id))
    return [str(message.parts[0].content) for message in loaded.messages] if loaded else []  # type: ignore[union-attr]


async def entries(database: Database) -> int:
    async with database.across() as unit:
        return int((await unit.connection.execute(text("SELECT count(*) FROM entries"))).scalar_one())


@pytest.fixture
async def place(database: Database) -> tuple[Database, UUID, UUID]:
    workspace_id, user_id = await workspace(database, "here")
    return database, workspace_id, user_id


Place = tuple[Database, UUID, UUID]


async def test_a_load_is_one_statement(place: Place) -> None:
    database, workspace_id, user_id = place
    conversation_id = await conversation(database, workspace_id, user_id)
    await grow(database, workspace_id, conversation_id, *range(10))
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    async with database.begin(workspace_id) as unit:
        log = ConversationLog(unit.connection, workspace_id)
        event.listen(database.engine.sync_engine, "before_cursor_execute", note)
        loaded = await log.load(str(conversation_id))
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)
        assert loaded is not None
        last = await log.load(str(conversation_id), limit=3)
        assert last is not None
    assert (len(loaded.messages), len(last.messages), len(seen)) == (20, 3, 1)


async def test_eight_first_saves_have_one_winner(place: Place) -> None:
    database, workspace_id, user_id = place
    conversation_id = await conversation(database, workspace_id, user_id)

    async def save(number: int) -> None:
        async with database.begin(workspace_id) as unit:
            log = ConversationLog(unit.connection, workspace_id)
            await log.save(Conversation(conversation_id=str(conversation_id), messages=exchange(number)))

    done = await asyncio.gather(*(save(number) for number in range(8)), return_exceptions=True)
    refused = [one for one in done if one is not None]
    assert len(refused) == 7
    assert all(isinstance(one, ConversationConflict) for one in refused)
    assert await entries(database) == 2


async def test_a_stale_writer_leaves_nothing_behind(place: Place) -> None:
    database, workspace_id, user_id = place
    conversation_id = await conversation(database, workspace_id, user_id)
    await grow(database, workspace_id, conversation_id, 1)
    async with database.begin(workspace_id) as unit:
        stale = await ConversationLog(unit.connection, workspace_id).load(str(conversation_id))
    await grow(database, workspace_id, conversation_id, 2)
    assert stale is not None
    stale.messages.extend(exchange(3))
    with pytest.raises(ConversationConflict):
        async with database.begin(workspace_id) as unit:
            await ConversationLog(unit.connection, workspace_id).save(stale)
    assert (await contents(database, workspace_id, conversation_id))[-1] == "answer 2"
    assert await entries(database) == 4


async def test_another_workspace_sees_nothing(place: Place) -> None:
    database, workspace_id, user_id = place
    conversation_id = await conversation(database, workspace_id, user_id)
    await grow(database, workspace_id, conversation_id, 1)
    stranger, _ = await workspace(database, "elsewhere")
    async with database.begin(stranger) as unit:
        log = ConversationLog(unit.connection, stranger)
        assert await log.load(str(conversation_id)) is None
        assert await log.read_records() == []
        assert await log.entries(conversation_id) == []
        head = (await contents(database, workspace_id, conversation_id))[-1]
        assert head == "answer 1"
        with pytest.raises(ConversationConflict):
            await log.delete_record(str(conversation_id), expected_revision=str(new_id()))
        assert await log.load(str(conversation_id), scope=str(workspace_id)) is None


async def test_a_fork_shares_entries_and_outlives_its_source(place: Place) -> None:
    database, workspace_id, user_id = place
    source = await conversation(database, workspace_id, user_id)
    await grow(database, workspace_id, source, 1, 2)
    fork, grandchild = [await conversation(database, workspace_id, user_id) for _ in range(2)]
    async with database.begin(workspace_id) as unit:
        log = ConversationLog(unit.connection, workspace_id)
        await log.fork(str(source), at=2, new_conversation_id=str(fork))
    async with database.begin(workspace_id) as unit:
        log = ConversationLog(unit.connection, workspace_id)
        await log.fork(str(fork), new_conversation_id=str(grandchild))
    await grow(database, workspace_id, fork, 3)
    assert await entries(database) == 6
    assert await contents(database, workspace_id, fork) == ["question 1", "answer 1", "question 3", "answer 3"]
    for gone, left in ((fork, 4), (source, 2), (grandchild, 0)):
        async with database.begin(workspace_id) as unit:
            await ConversationLog(unit.connection, workspace_id).erase(gone)
        assert await entries(database) == left
        if gone != grandchild:
            assert await contents(database, workspace_id, grandchild) == ["question 1", "answer 1"]


async def test_branches_are_kept_until_the_conversation_is_erased(place: Place) -> None:
    database, workspace_id, user_id = place
    conversation_id = await conversation(database, workspace_id, user_id)
    await grow(database, workspace_id, conversation_id, 1, 2)
    async with database.begin(workspace_id) as unit:
        log = ConversationLog(unit.connection, workspace_id)
        loaded = await log.load(str(conversation_id))
        assert loaded is not None
        await log.branch(str(conversation_id), at=2, expected_revision=loaded.revision)
    await grow(database, workspace_id, conversation_id, 3)
    assert (await contents(database, workspace_id, conversation_id))[-1] == "answer 3"
    assert await entries(database) == 6
    async with database.begin(workspace_id) as unit:
        await ConversationLog(unit.connection, workspace_id).delete(str(conversation_id))
    assert await entries(database) == 0


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_format_ever_written_is_read(path: Path) -> None:
    golden = json.loads(path.read_text())
    messages = read_messages(json.dumps(golden["messages"]), [golden["format"]] * len(golden["messages"]))
    assert [(type(one).__name__, str(one.parts[0].content)) for one in messages] == [  # type: ignore[union-attr]
        tuple(pair) for pair in golden["reads_as"]
    ]


def test_the_present_format_has_a_golden_file() -> None:
    assert {json.loads(path.read_text())["format"] for path in GOLDEN.glob("*.json")} == set(range(FORMAT + 1))


def test_a_newer_format_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="newer than this version"):
        upcast({}, FORMAT + 1)
