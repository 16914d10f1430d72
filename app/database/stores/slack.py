"""What Slack sent to one workspace, and which of its threads are conversations."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ARRAY, Text, and_, bindparam, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import conversations, slack_receipts, slack_threads
from app.database.rows import columns_of
from app.models.ids import new_id
from app.models.slack import Place, SlackThread

THREAD = columns_of(slack_threads, SlackThread)

_FORGET = text(
    """
DELETE FROM slack_receipts WHERE ctid IN (
    SELECT ctid FROM slack_receipts
     WHERE workspace_id = :workspace_id AND received_at < app_now() - make_interval(days => :days) LIMIT :batch)
"""
)
_RECEIVE = text(
    """
INSERT INTO slack_receipts (workspace_id, key, run_id)
SELECT :workspace_id, key, :run_id FROM unnest(:keys) AS key ON CONFLICT DO NOTHING RETURNING key
"""
).bindparams(bindparam("keys", type_=ARRAY(Text)), bindparam("run_id", type_=slack_receipts.c.run_id.type))


class SlackStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def receive(self, keys: Sequence[str], run_id: UUID | None = None) -> bool:
        """Note that this came, under every name that it has; False when it had come before under any of them.

        Whoever takes the same one in at the same time waits for the other's commit.
        """
        values = {"workspace_id": self._workspace_id, "keys": sorted(keys), "run_id": run_id}
        return len((await self._connection.execute(_RECEIVE, values)).all()) == len(keys)

    async def forget(self, days: int, batch: int) -> int:
        """Forget what came more than `days` ago, one batch; how many rows went."""
        values = {"workspace_id": self._workspace_id, "days": days, "batch": batch}
        return (await self._connection.execute(_FORGET, values)).rowcount

    async def thread(self, place: Place) -> SlackThread | None:
        """The conversation of this place, or None."""
        statement = select(*THREAD).where(
            slack_threads.c.workspace_id == self._workspace_id,
            slack_threads.c.team_id == place.team_id,
            slack_threads.c.channel_id == place.channel_id,
            slack_threads.c.thread_ts == place.thread_ts,
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return SlackThread(*found) if found else None

    async def thread_of(self, conversation_id: UUID) -> SlackThread | None:
        """Where the conversation is held, or None when that is not in Slack (any more)."""
        statement = select(*THREAD).where(
            slack_threads.c.workspace_id == self._workspace_id, slack_threads.c.conversation_id == conversation_id
        )
        found = (await self._connection.execute(statement.limit(1))).one_or_none()
        return SlackThread(*found) if found else None

    async def direct_thread(self, user_id: UUID) -> SlackThread | None:
        """The conversation at the top level of the user's direct message, or None."""
        statement = (
            select(*THREAD)
            .join(
                conversations,
                and_(
                    conversations.c.workspace_id == slack_threads.c.workspace_id,
                    conversations.c.id == slack_threads.c.conversation_id,
                ),
            )
            .where(
                slack_threads.c.workspace_id == self._workspace_id,
                slack_threads.c.thread_ts == "",
                conversations.c.user_id == user_id,
            )
        )
        found = (await self._connection.execute(statement.limit(1))).one_or_none()
        return SlackThread(*found) if found else None

    async def lock_place(self, place: Place) -> None:
        """Let nobody else begin a conversation in this place until the unit ends."""
        key = f"slack:{self._workspace_id}:{place.team_id}:{place.channel_id}:{place.thread_ts}"
        await self._connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 11))))

    async def begin_thread(self, place: Place, conversation_id: UUID) -> None:
        """Make the place a conversation. The caller has locked it."""
        row = {"team_id": place.team_id, "channel_id": place.channel_id, "thread_ts": place.thread_ts}
        await self._connection.execute(
            insert(slack_threads).values(
                workspace_id=self._workspace_id, id=new_id(), conversation_id=conversation_id, **row
            )
        )

    async def move_thread(self, thread_id: UUID, **values: UUID | str) -> None:
        """Go on in the thread with another conversation, or in another channel with the thread's own."""
        await self._connection.execute(
            update(slack_threads)
            .where(slack_threads.c.workspace_id == self._workspace_id, slack_threads.c.id == thread_id)
            .values(**values)
        )
