"""A stream with more events than may stay uncommitted: they are stored on the way, and none is missing."""

import pytest
from support.loopback import Loopback

from app.services import event_log
from app.services.events import follow
from tests.flows.conftest import Desk


async def test_events_of_a_long_answer_are_stored_on_the_way(
    desk: Desk, model: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "COMMIT_SOON", 10)
    monkeypatch.setattr(event_log, "MOST_UNCOMMITTED", 15)
    conversation_id = await desk.conversation()
    text = " ".join(f"word-{number}" for number in range(80))
    run = await desk.say(conversation_id, {"text": text, "chunks": 80, "delay_ms": 22}, stream=True)
    frames = [
        frame
        async for batch in follow(desk.runtime.database, desk.runtime.hub, run.workspace_id, run.id)
        for frame in batch
    ]
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    assert "".join(frame.event["text"] for frame in frames if frame.type == "message.delta") == text
    turn = await desk.answer(run)
    assert turn.run.last_seq == len(frames)
    async with desk.runtime.database.begin(run.workspace_id) as unit:
        stored = await unit.events.after(run.id, conversation_id, 0)
    assert [frame.seq for frame in stored] == [frame.seq for frame in frames]
