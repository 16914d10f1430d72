"""Files and their pieces, and which run has which."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, func, insert, select, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import file_pieces, files, run_files, runs
from app.database.rows import columns_of
from app.models.file import File

PIECE = 256 * 1024
"""Bytes of a piece; only the last one of a file may be shorter."""

COLUMNS = columns_of(files, File)
_QUOTA_LOCK = 7_301_021


class FileStore:
    """Queries over the files of one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def used(self, user_id: UUID) -> int:
        """Bytes that the user's files take. No other unit of the same user counts until this one ends."""
        await self._connection.execute(select(func.pg_advisory_xact_lock(_QUOTA_LOCK, func.hashtext(str(user_id)))))
        statement = select(func.coalesce(func.sum(files.c.size), 0)).where(
            files.c.workspace_id == self._workspace_id, files.c.user_id == user_id
        )
        return int((await self._connection.execute(statement)).scalar_one())

    async def add(self, values: dict[str, Any]) -> File:
        """Insert a file; its pieces follow."""
        statement = insert(files).values(workspace_id=self._workspace_id, **values).returning(*COLUMNS)
        return File(*(await self._connection.execute(statement)).one())

    async def add_piece(self, file_id: UUID, number: int, data: bytes) -> None:
        """Insert one piece, counted from 0."""
        row = {"workspace_id": self._workspace_id, "file_id": file_id, "number": number, "data": data}
        await self._connection.execute(insert(file_pieces).values(row))

    async def piece(self, file_id: UUID, number: int) -> bytes | None:
        """One piece; None behind the last."""
        statement = select(file_pieces.c.data).where(
            file_pieces.c.workspace_id == self._workspace_id,
            file_pieces.c.file_id == file_id,
            file_pieces.c.number == number,
        )
        return (await self._connection.execute(statement)).scalar_one_or_none()

    async def content(self, file_id: UUID) -> bytes:
        """All pieces in one."""
        statement = (
            select(file_pieces.c.data)
            .where(file_pieces.c.workspace_id == self._workspace_id, file_pieces.c.file_id == file_id)
            .order_by(file_pieces.c.number)
        )
        return b"".join((await self._connection.execute(statement)).scalars())

    async def get(self, file_id: UUID) -> File | None:
        """The file, or None when this workspace has none with that id."""
        found = (await self._connection.execute(select(*COLUMNS).where(self._is(file_id)))).one_or_none()
        return File(*found) if found else None

    async def those(self, file_ids: Sequence[UUID]) -> list[File]:
        """Those of the files that are there, in the order of the ids."""
        statement = select(*COLUMNS).where(files.c.workspace_id == self._workspace_id, files.c.id.in_(file_ids))
        found = {row.id: File(*row) for row in await self._connection.execute(statement)}
        return [found[file_id] for file_id in file_ids if file_id in found]

    async def page(self, *, limit: int, after: UUID | None = None, user_id: UUID | None = None) -> list[File]:
        """Up to `limit` files, the newest first, older than `after`."""
        statement = select(*COLUMNS).where(files.c.workspace_id == self._workspace_id)
        if user_id is not None:
            statement = statement.where(files.c.user_id == user_id)
        if after is not None:
            statement = statement.where(files.c.id < after)
        statement = statement.order_by(files.c.id.desc()).limit(limit)
        return [File(*row) for row in await self._connection.execute(statement)]

    async def delete(self, file_id: UUID) -> bool:
        """Delete the file with its pieces; False when there is none."""
        return (await self._connection.execute(delete(files).where(self._is(file_id)))).rowcount > 0

    async def attach(self, run_id: UUID, file_ids: Sequence[UUID], role: str) -> None:
        """Note that the run has these files; one that is noted stays as it is."""
        rows = [
            {"workspace_id": self._workspace_id, "run_id": run_id, "file_id": file_id, "role": role}
            for file_id in file_ids
        ]
        if rows:
            await self._connection.execute(upsert(run_files).values(rows).on_conflict_do_nothing())

    async def of_run(self, run_id: UUID) -> list[tuple[File, str]]:
        """The files that the run was given or made, in the order in which they came, each with its role."""
        statement = (
            select(*COLUMNS, run_files.c.role)
            .join(
                run_files,
                tuple_(run_files.c.workspace_id, run_files.c.file_id) == tuple_(files.c.workspace_id, files.c.id),
            )
            .where(run_files.c.workspace_id == self._workspace_id, run_files.c.run_id == run_id)
            .order_by(files.c.id)
        )
        rows = [tuple(row) for row in await self._connection.execute(statement)]
        return [(File(*row[:-1]), row[-1]) for row in rows]

    async def erase_made_in(self, conversation_id: UUID) -> None:
        """Delete what the conversation's runs have made."""
        made = select(runs.c.id).where(
            runs.c.workspace_id == self._workspace_id, runs.c.conversation_id == conversation_id
        )
        await self._connection.execute(
            delete(files).where(files.c.workspace_id == self._workspace_id, files.c.made_by_run_id.in_(made))
        )

    def _is(self, file_id: UUID) -> Any:
        return and_(files.c.workspace_id == self._workspace_id, files.c.id == file_id)
