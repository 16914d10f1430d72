"""What the runs of a piece of research have fetched, and the numbers that its report cites it by."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import case, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import sources
from app.database.rows import columns_of
from app.models.research import Source

COLUMNS = columns_of(sources, Source)


class SourceStore:
    """Sources of one workspace, each once for all runs below one root."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def keep(self, root_run_id: UUID, ref: str, **values: Any) -> None:
        """Note that something was fetched; what is noted already stays as it is."""
        statement = upsert(sources).values(workspace_id=self._workspace_id, root_run_id=root_run_id, ref=ref, **values)
        await self._connection.execute(statement.on_conflict_do_nothing())

    async def of_root(self, root_run_id: UUID, run_id: UUID | None = None) -> list[Source]:
        """Everything that was fetched below this run, or by one run there; cited ones first, by number."""
        statement = select(*COLUMNS).where(
            sources.c.workspace_id == self._workspace_id, sources.c.root_run_id == root_run_id
        )
        if run_id is not None:
            statement = statement.where(sources.c.run_id == run_id)
        statement = statement.order_by(sources.c.number.nulls_last(), sources.c.fetched_at, sources.c.ref)
        return [Source(*row) for row in await self._connection.execute(statement)]

    async def refs(self, root_run_id: UUID) -> set[str]:
        """The references of everything that was fetched below this run."""
        statement = select(sources.c.ref).where(
            sources.c.workspace_id == self._workspace_id, sources.c.root_run_id == root_run_id
        )
        return set((await self._connection.execute(statement)).scalars())

    async def number(self, root_run_id: UUID, numbers: Mapping[str, int]) -> None:
        """Write the numbers that the report gives to references; all others lose theirs."""
        wanted: Sequence[tuple[Any, int]] = [(sources.c.ref == ref, number) for ref, number in numbers.items()]
        statement = (
            update(sources)
            .where(sources.c.workspace_id == self._workspace_id, sources.c.root_run_id == root_run_id)
            .values(number=case(*wanted, else_=None) if wanted else None)
        )
        await self._connection.execute(statement)
