"""Agent definitions of one workspace, by name and version: what a run was begun with stays readable."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import agents
from app.models.ids import new_id


class AgentStore:
    """Queries over the stored agent definitions of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def keep(self, name: str, version: str, definition: dict[str, Any]) -> None:
        """Store a definition under its version, once."""
        statement = (
            insert(agents)
            .values(workspace_id=self._workspace_id, id=new_id(), name=name, version=version, definition=definition)
            .on_conflict_do_nothing(index_elements=["workspace_id", "name", "version"])
        )
        await self._connection.execute(statement)

    async def find(self, name: str, version: str) -> dict[str, Any] | None:
        """The definition of that name and version."""
        statement = select(agents.c.definition).where(
            agents.c.workspace_id == self._workspace_id, agents.c.name == name, agents.c.version == version
        )
        return (await self._connection.execute(statement)).scalar_one_or_none()
