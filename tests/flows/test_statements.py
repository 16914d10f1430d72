"""What a turn asks of the ledger, counted: without tools two commits, one of them before the model is called."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event
from support.loopback import Loopback

from app.database.connection import Database
from app.models.errors import NotFound
from tests.flows.conftest import Desk

_COUNTED: ContextVar[bool] = ContextVar("counted", default=False)
"""Set where a turn is counted; the tasks that it starts inherit it, those that go on beside it lack it."""
_OVERHEAD = re.compile(r"\s*(;|ROLLBACK|SELECT\s+current_setting|SELECT set_config|WITH RECURSIVE typeinfo_tree)")
"""What a connection says for itself: signs of life, and questions about types when it is new."""


@dataclass
class Watch:
    """Statements and commits of one turn, with the moment of each. What the process does aside is left out."""

    commits: list[float] = field(default_factory=list)
    statements: list[tuple[float, str]] = field(default_factory=list)
    begun: int = 0

    def saw(self, sql: str) -> None:
        if not _COUNTED.get():
            return
        if sql.startswith("COMMIT"):
            self.commits.append(time.monotonic())
        elif sql.startswith("BEGIN"):
            self.begun += 1
        elif not _OVERHEAD.match(sql):
            self.statements.append((time.monotonic(), sql))


@contextmanager
def watched(database: Database) -> Iterator[Watch]:
    """Counts what goes over every connection: through SQLAlchemy, or straight through the driver."""
    watch, engine = Watch(), database.engine.sync_engine

    def log(record: Any) -> None:
        watch.saw(record.query)

    def taken(connection: Any, *_: Any) -> None:
        connection.driver_connection.add_query_logger(log)

    def left(connection: Any, *_: Any) -> None:
        connection.driver_connection.remove_query_logger(log)

    def executed(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        watch.saw(sql)

    listeners = (("checkout", taken), ("checkin", left), ("before_cursor_execute", executed))
    for name, listener in listeners:
        event.listen(engine, name, listener)
    token = _COUNTED.set(True)
    try:
        yield watch
    finally:
        _COUNTED.reset(token)
        for name, listener in listeners:
            event.remove(engine, name, listener)


async def called(model: Loopback, marker: str) -> float:
    entries = await asyncio.to_thread(model.wait, f"marker={marker}&phase=finished")
    return entries[0]["started"]


async def test_a_turn_is_two_commits_and_four_statements(desk: Desk, model: Loopback) -> None:
    conversation_id = await desk.conversation()
    await desk.answer(await desk.say(conversation_id, {"text": "first"}))
    with watched(desk.runtime.database) as watch:
        run = await desk.say(conversation_id, {"text": "second"}, mark="counted")
        turn = await desk.answer(run)
    at = await called(model, "counted")
    assert turn.run.status == "completed"
    assert (watch.begun, len(watch.commits)) == (2, 2)
    assert sum(moment < at for moment in watch.commits) == 1
    assert len(watch.statements) == 4, [sql.strip()[:80] for _, sql in watch.statements]
    assert sum(moment < at for moment, _ in watch.statements) == 2


async def test_a_stream_costs_the_ledger_no_more(desk: Desk, model: Loopback) -> None:
    conversation_id = await desk.conversation()
    with watched(desk.runtime.database) as watch:
        run = await desk.say(conversation_id, {"text": "one two three four", "chunks": 40}, mark="stream", stream=True)
        turn = await desk.answer(run)
    assert turn.run.status == "completed"
    assert (len(watch.commits), len(watch.statements)) == (2, 4)


async def test_a_tool_round_adds_a_checkpoint_and_a_line_of_the_journal(desk: Desk, model: Loopback) -> None:
    conversation_id = await desk.conversation()
    step = {"tools": [{"name": "calculator", "args": {"expression": "6*7"}}]}
    with watched(desk.runtime.database) as watch:
        turn = await desk.answer(await desk.say(conversation_id, step, {"text": "42"}, mark="tool"))
    assert (turn.run.status, turn.run.usage["tool_calls"]) == ("completed", 1)
    assert len(watch.commits) == 4
    assert len(watch.statements) <= 10


async def test_a_refused_turn_writes_nothing(desk: Desk, model: Loopback) -> None:
    with watched(desk.runtime.database) as watch, pytest.raises(NotFound):
        await desk.say(uuid4(), {"text": "nobody"})
    assert (len(watch.commits), len(watch.statements)) == (0, 1)
