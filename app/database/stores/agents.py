"""Agents of one workspace: those that it has defined, and every definition by version that a run began with."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import agents, own_agents
from app.database.rows import columns_of
from app.models.agent import AgentVersion
from app.models.ids import new_id

COLUMNS = columns_of(agents, AgentVersion)


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
        statement = select(agents.c.definition).where(self._called(name), agents.c.version == version)
        return (await self._connection.execute(statement)).scalar_one_or_none()

    async def versions(self, name: str, *, limit: int, after: UUID | None) -> list[AgentVersion]:
        """What is stored of an agent, the newest first."""
        statement = select(*COLUMNS).where(self._called(name)).order_by(agents.c.id.desc()).limit(limit)
        if after is not None:
            statement = statement.where(agents.c.id < after)
        return [AgentVersion(*row) for row in await self._connection.execute(statement)]

    # The agents that the workspace has defined itself

    async def count(self) -> int:
        """How many agents the workspace has defined."""
        statement = select(func.count()).where(self._own(), own_agents.c.archived_at.is_(None))
        return (await self._connection.execute(statement)).scalar_one()

    async def add(self, name: str, version: str, created_by: str) -> bool:
        """Name an agent and say which version of it is current; False when there is one of that name."""
        row = {"workspace_id": self._workspace_id, "name": name, "version": version, "created_by": created_by}
        statement = insert(own_agents).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=["workspace_id", "name"],
            set_={"version": version, "created_by": created_by, "archived_at": None, "updated_at": func.app_now()},
            where=own_agents.c.archived_at.is_not(None),
        ).returning(own_agents.c.name)
        return (await self._connection.execute(statement)).one_or_none() is not None

    async def current(self, name: str, *, lock: bool = False) -> dict[str, Any] | None:
        """The current definition of an agent that is not archived; locked against other changes when asked for."""
        statement = self._current().where(own_agents.c.name == name)
        if lock:
            statement = statement.with_for_update(of=own_agents)
        return (await self._connection.execute(statement)).scalar_one_or_none()

    async def all(self) -> list[dict[str, Any]]:
        """The current definitions of all agents that are not archived, by name."""
        return list((await self._connection.execute(self._current().order_by(own_agents.c.name))).scalars())

    async def point(self, name: str, version: str) -> None:
        """Make another version the current one."""
        await self._change(name, version=version)

    async def archive(self, name: str) -> bool:
        """Take the agent out of use, keep its versions; False when there is none."""
        return await self._change(name, archived_at=func.app_now())

    async def _change(self, name: str, **values: Any) -> bool:
        statement = update(own_agents).where(self._own(), own_agents.c.name == name, own_agents.c.archived_at.is_(None))
        statement = statement.values(updated_at=func.app_now(), **values).returning(own_agents.c.name)
        return (await self._connection.execute(statement)).one_or_none() is not None

    def _current(self) -> Any:
        same = and_(
            agents.c.workspace_id == own_agents.c.workspace_id,
            agents.c.name == own_agents.c.name,
            agents.c.version == own_agents.c.version,
        )
        return (
            select(agents.c.definition)
            .select_from(own_agents.join(agents, same))
            .where(self._own(), own_agents.c.archived_at.is_(None))
        )

    def _own(self) -> ColumnElement[bool]:
        return own_agents.c.workspace_id == self._workspace_id

    def _called(self, name: str) -> ColumnElement[bool]:
        return and_(agents.c.workspace_id == self._workspace_id, agents.c.name == name)
