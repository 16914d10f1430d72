"""Files that go along with messages and tasks, what runs save, and answers in a shape that the caller gives."""

import io
import json
from typing import Any
from uuid import UUID

import pytest
from support import papers
from support.model_server import script

from app.agents.schemas import violations
from app.models.errors import InvalidInput
from app.models.file import File
from app.models.ids import new_id
from app.models.run import Run
from app.services import chat, conversations, files, messages
from app.services.chat import Say
from app.services.extras import Extras
from tests.flows.conftest import Desk

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "pattern": "^[A-Z]"}, "people": {"type": "integer", "minimum": 1}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


async def kept(desk: Desk, data: bytes, name: str) -> File:
    """A file of the owner's."""
    upload = files.measured(io.BytesIO(data), name, "")
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        row, _ = await files.keep(unit, desk.owner, upload, user_id=None, quota=10**9, once=None)
    return row


async def say(desk: Desk, conversation_id: UUID, *steps: dict[str, Any], more: Extras) -> Run:
    wanted = Say(script(*steps, mark="", say="What does it say?"), more=more)
    said = await chat.say(desk.runtime.works.chat, desk.owner, conversation_id, wanted, None)
    return (await desk.answer(said.run)).run


async def asked(desk: Desk, run: Run) -> str:
    """The conversation as it is stored."""
    return json.dumps([entry.message for entry in await desk.entries(run.conversation_id)], ensure_ascii=False)


async def test_the_text_of_files_goes_along_as_data_and_long_ones_are_read_on(desk: Desk) -> None:
    long = await kept(desk, ("word " * 20_000 + "the end").encode(), "long.txt")
    paper = await kept(desk, papers.table(), "invoice.pdf")
    conversation_id = await desk.conversation()
    steps = [
        {"tools": [{"name": "read_document", "args": {"document": 1, "start": 100_000}}]},
        {"tools": [{"name": "read_document", "args": {"document": 2, "page": 1}}]},
        {"text": "Done."},
    ]
    run = await say(desk, conversation_id, *steps, more=Extras([long.id, paper.id]))
    assert (run.status, run.taint) == ("completed", ["file"])
    log = await asked(desk, run)
    assert "characters 0 to 30000 of 100007; read on with read_document, start=30000" in log
    assert "Widget\\\\t2\\\\t10.00 EUR" in log or "Widget\\t2\\t10.00 EUR" in log
    assert "the end" in log
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        shown = await messages.listed(unit, conversation_id)
        of_run = await files.of_run(unit, run.id)
    assert [part["type"] for part in shown[0].parts] == ["text", "file", "file"]
    assert shown[0].parts[2] == {"type": "file", "file_id": str(paper.id), "name": "invoice.pdf"}
    assert "word word" not in shown[0].content
    assert [(one.name, one.role) for one in of_run] == [("long.txt", "input"), ("invoice.pdf", "input")]


@pytest.mark.parametrize(
    ("data", "name", "code"),
    [(papers.canvas([(60, 700, "x")], password="pw"), "locked.pdf", "document_encrypted"), (b"gone", "gone.txt", "")],
)
async def test_a_file_that_cannot_be_read_ends_the_run_with_the_reason(
    desk: Desk, data: bytes, name: str, code: str
) -> None:
    row = await kept(desk, data, name)
    if not code:
        with pytest.raises(InvalidInput) as missing:
            await say(desk, await desk.conversation(), {"text": "x"}, more=Extras([new_id()]))
        assert missing.value.code == "file_not_found"
        return
    run = await say(desk, await desk.conversation(), {"text": "x"}, more=Extras([row.id]))
    assert (run.status, run.status_reason) == ("failed", code)
    assert "locked.pdf: The PDF is protected by a password." in (run.status_detail or "")
    again = await say(desk, run.conversation_id, {"text": "Fine."}, more=Extras())
    assert again.status == "completed"


async def test_what_a_run_saves_is_a_file_of_its_own_and_goes_with_its_conversation(desk: Desk) -> None:
    call = {"name": "save_file", "args": {"name": "../report.md", "text": "# Report\n\nAll is well."}}
    conversation_id = await desk.conversation()
    run = await say(desk, conversation_id, {"tools": [call]}, {"text": "Saved."}, more=Extras())
    assert run.status == "completed", run.status_detail
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        [made] = await files.of_run(unit, run.id)
        content = await unit.files.content(made.id)
    assert (made.name, made.role, made.run_id, made.media_type) == ("report.md", "artifact", run.id, "text/markdown")
    assert content == b"# Report\n\nAll is well."
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        await conversations.erase(unit, desk.owner, conversation_id)
        assert await unit.files.get(made.id) is None


async def test_a_message_may_say_what_its_answer_must_look_like(desk: Desk) -> None:
    wrong = {"tools": [{"name": "final_result", "args": {"city": "paris", "people": 0}}]}
    right = {"tools": [{"name": "final_result", "args": {"city": "Paris", "people": 2}}]}
    conversation_id = await desk.conversation()
    run = await say(desk, conversation_id, wrong, right, more=Extras(output_schema=SCHEMA))
    assert run.status == "completed", run.status_detail
    told = [event for event in await desk.events(run) if event["type"] == "tool.result"]
    assert told[0]["status"] == "failed"
    assert "people: 0 is less than the minimum of 1" in told[0]["summary"]
    async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
        result = await unit.runs.result(run.id)
    assert result is not None
    assert violations(SCHEMA, result.data) == []
    failed = await say(desk, conversation_id, *[wrong] * 5, more=Extras(output_schema=SCHEMA))
    assert (failed.status, failed.status_reason) == ("failed", "output_invalid")
    assert 'city: "paris" does not match' in (failed.status_detail or "")
    assert failed.usage["requests"] == 3
    plain = await say(desk, conversation_id, {"text": "Hello."}, more=Extras())
    assert plain.status == "completed"
    with pytest.raises(InvalidInput) as refused:
        await say(desk, conversation_id, right, more=Extras(output_schema={"type": "array"}))
    assert refused.value.code == "invalid_schema"


async def test_a_task_keeps_files_and_schema_for_its_runs(desk: Desk) -> None:
    row = await kept(desk, b"Paris has two people.", "note.txt")
    right = {"tools": [{"name": "final_result", "args": {"city": "Paris", "people": 2}}]}
    run = await desk.delegate(right, files=[str(row.id)], output_schema=SCHEMA)
    assert run.input["files"] == [str(row.id)]
    turn = await desk.answer(run)
    assert turn.run.status == "completed", turn.run.status_detail
    assert turn.result is not None
    assert turn.result.data == {"city": "Paris", "people": 2}
    assert "Paris has two people." in await asked(desk, turn.run)
