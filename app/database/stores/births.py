"""Runs that are born together, each in a conversation of its own: one statement however many they are."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.direct import dumps
from app.models.turn import Birth

_CONVERSATION = "workspace_id, id, user_id, pattern, agent, title, context_data, targets, grants"
_RUN = (
    "workspace_id, id, conversation_id, task_id, user_id, pattern, agent, agent_version, model, lane, status, "
    "max_attempts, last_seq, parent_run_id, root_run_id, trigger, input, limits, taint, created_by"
)
_EVENT = "workspace_id, run_id, first_seq, last_seq, events"
_BORN = text(
    f"""
WITH born AS MATERIALIZED (
    SELECT {_RUN} FROM jsonb_populate_recordset(NULL::runs, CAST(CAST(:runs AS text) AS jsonb))
), talks AS (
    INSERT INTO conversations ({_CONVERSATION})
    SELECT {_CONVERSATION}
      FROM jsonb_populate_recordset(NULL::conversations, CAST(CAST(:conversations AS text) AS jsonb))
), begun AS (
    INSERT INTO runs ({_RUN}) SELECT {_RUN} FROM born
), told AS (
    INSERT INTO run_events ({_EVENT})
    SELECT {_EVENT} FROM jsonb_populate_recordset(NULL::run_events, CAST(CAST(:events AS text) AS jsonb))
), latest AS (
    SELECT DISTINCT ON (workspace_id, task_id) workspace_id, task_id, id FROM born
     ORDER BY workspace_id, task_id, id DESC
), locked AS MATERIALIZED (
    SELECT t.workspace_id, t.id, l.id AS run_id FROM latest l
      JOIN tasks t ON t.workspace_id = l.workspace_id AND t.id = l.task_id
     ORDER BY t.workspace_id, t.id FOR NO KEY UPDATE OF t
)
UPDATE tasks t SET last_run_id = l.run_id, updated_at = app_now()
  FROM locked l WHERE t.workspace_id = l.workspace_id AND t.id = l.id
"""
)
"""Tasks are locked in one order everywhere, so that two processes never wait for each other."""


class BirthStore:
    """Inserts over all workspaces: every row names its own."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, births: Sequence[Birth]) -> None:
        """Insert conversations, their first runs and the runs' first events; note the last run of each task there."""
        if not births:
            return
        values = {
            "conversations": dumps([one.conversation for one in births]),
            "runs": dumps([one.run for one in births]),
            "events": f"[{','.join(_event(one) for one in births)}]",
        }
        await self._connection.execute(_BORN, values)


def _event(birth: Birth) -> str:
    # The events are JSON already; they are not taken apart again.
    return (
        f'{{"workspace_id":"{birth.run["workspace_id"]}","run_id":"{birth.run["id"]}",'
        f'"first_seq":{birth.events.first_seq},"last_seq":{birth.events.last_seq},"events":{birth.events.rows}}}'
    )
