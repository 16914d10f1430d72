"""Runs that are born together, each in a conversation of its own: a handful of statements however many they are."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Text, bindparam, cast, func, insert, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import conversations, run_events, runs, tasks
from app.models.turn import Birth

_LAST_RUN = (
    update(tasks)
    .where(tasks.c.workspace_id == bindparam("of_workspace"), tasks.c.id == bindparam("of_task"))
    .values(last_run_id=bindparam("run"), updated_at=func.app_now())
)
_EVENT = insert(run_events).values(events=cast(bindparam("rows", type_=Text()), JSONB))


class BirthStore:
    """Inserts over all workspaces: every row names its own."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, births: Sequence[Birth]) -> None:
        """Insert conversations, their first runs and the runs' first events; note each run at its task."""
        if not births:
            return
        send = self._connection.execute
        await send(insert(conversations), [one.conversation for one in births])
        await send(insert(runs), [one.run for one in births])
        await send(_EVENT, [_event(one) for one in births])
        # In one order everywhere, so that two processes never wait for each other.
        of_tasks = sorted({one.run["task_id"]: one for one in births}.values(), key=lambda one: one.run["task_id"])
        of_run = [
            {"of_workspace": one.run["workspace_id"], "of_task": one.run["task_id"], "run": one.run["id"]}
            for one in of_tasks
        ]
        await send(_LAST_RUN, of_run)


def _event(birth: Birth) -> dict[str, Any]:
    return {
        "workspace_id": birth.run["workspace_id"],
        "run_id": birth.run["id"],
        "first_seq": birth.events.first_seq,
        "last_seq": birth.events.last_seq,
        "rows": birth.events.rows,
    }
