"""Files as runs reach them: documents to be read, and results to be kept."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from app.agents.papers import Paper
from app.database.connection import Database
from app.integrations.documents import DocumentReader
from app.models.document import UnreadableDocument
from app.models.errors import InvalidInput
from app.models.file import File
from app.models.run import Run
from app.services import files
from app.services.documents import Documents

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class FileRoom:
    """Files as runs reach them. Sizes are in bytes: the largest file, and all files of one user together."""

    database: Database
    most: int = 25 * MEGABYTE
    quota: int = 500 * MEGABYTE

    @cached_property
    def documents(self) -> Documents:
        """The process' reader of documents."""
        return Documents(DocumentReader())

    async def read(self, workspace_id: UUID, user_id: UUID, file_id: UUID) -> Paper:
        """A user's file as a document. Raises InvalidInput when it is gone, UnreadableDocument."""
        async with self.database.begin(workspace_id) as unit:
            row = await unit.files.get(file_id)
            if row is None or row.user_id != user_id:
                raise InvalidInput(f"The file {file_id} has been deleted.", code="file_not_found")
            data = await unit.files.content(row.id)
        try:
            document = await self.documents.read(data, row.media_type)
        except UnreadableDocument as error:
            raise UnreadableDocument(f"{row.name}: {error.detail}", code=error.code) from None
        return Paper(row.name, document, str(row.id))

    def shelf(self, run: Run) -> "Shelf":
        """Where the run saves its results."""
        return Shelf(self, run)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where one run saves files, for its user."""

    room: FileRoom
    run: Run

    async def save(self, name: str, text: str, key: str) -> UUID:
        """Keep a text as a file; the same key gives the same file. Raises Conflict, UnsupportedMediaType."""
        row = await self.keep(own_id(self.run, key), name, text.encode(), role="artifact")
        return row.id

    async def keep(self, file_id: UUID, name: str, data: bytes, *, role: str) -> File:
        """Keep some bytes under an id, once."""
        async with self.room.database.begin(self.run.workspace_id) as unit:
            made = files.Made(file_id, files.clean_name(name), data, role)
            return await files.save_made(unit, self.run.id, self.run.user_id, made, quota=self.room.quota)


def own_id(run: Run, key: str) -> UUID:
    """The id of a file that the run makes under this key: always the same, and as old as the run."""
    digest = hashlib.sha256(f"{run.id}:{key}".encode()).digest()
    raw = bytearray(run.id.bytes[:6] + digest[:10])
    raw[6] = (raw[6] & 0x0F) | 0x70
    raw[8] = (raw[8] & 0x3F) | 0x80
    return UUID(bytes=bytes(raw))
