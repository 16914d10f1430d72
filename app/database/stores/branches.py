"""The ends of a conversation's lines, within one workspace."""

from uuid import UUID

from sqlalchemy import and_, any_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import conversations, entries
from app.database.rows import columns_of
from app.models.conversation import Entry

COLUMNS = columns_of(entries, Entry)


class BranchStore:
    """Queries over the lines of the conversations of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def tips(self, conversation_id: UUID) -> list[Entry]:
        """The last entries of the present line and of every line that was left, the newest first."""
        statement = (
            select(*COLUMNS)
            .join(
                conversations,
                and_(
                    conversations.c.workspace_id == entries.c.workspace_id,
                    or_(
                        conversations.c.head_id == entries.c.id,
                        entries.c.id == any_(conversations.c.branches),
                    ),
                ),
            )
            .where(entries.c.workspace_id == self._workspace_id, conversations.c.id == conversation_id)
            .order_by(entries.c.id.desc())
        )
        return [Entry(*row) for row in await self._connection.execute(statement)]
