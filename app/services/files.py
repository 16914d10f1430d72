"""Files: kept, listed, given out, deleted, and handed to runs."""

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import UUID

from app.agents.text import visible
from app.database.connection import Database
from app.database.stores.files import PIECE
from app.database.unit import Unit
from app.models.errors import Conflict, InvalidInput, NotFound
from app.models.file import File, FileOut, RunFileOut
from app.models.identity import Principal
from app.models.ids import new_id
from app.services import users
from app.services.documents import sniff
from app.services.idempotency import Once, earlier

_HEAD = 64 * 1024
_NAME = 255
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that lies in a temporary place, complete: `size` bytes that hash to `sha256`."""

    content: BinaryIO
    name: str
    declared: str
    size: int
    sha256: bytes


def measured(content: BinaryIO, name: str, declared: str) -> Upload:
    """The upload with its size and hash; it is read once, in pieces."""
    digest, size = hashlib.sha256(), 0
    content.seek(0)
    while piece := content.read(PIECE):
        digest.update(piece)
        size += len(piece)
    return Upload(content, name, declared, size, digest.digest())


def clean_name(name: str) -> str:
    """The last part of the name, without what nobody would see in it."""
    last = re.split(r"[/\\]", name)[-1]
    return _CONTROLS.sub("", visible(last)).strip()[:_NAME] or "file"


async def keep(
    unit: Unit, principal: Principal, upload: Upload, *, user_id: str | None, quota: int, once: Once | None
) -> tuple[File, bool]:
    """Keep an upload for a user; also whether an earlier request with the same key had kept it.

    Raises InvalidInput for an empty file, UnsupportedMediaType, and Conflict when the user's quota (bytes) is used up.
    """
    if upload.size == 0:
        raise InvalidInput("The file is empty.", code="file_empty")
    upload.content.seek(0)
    media_type = sniff(upload.content.read(_HEAD), upload.name, upload.declared)
    file_id = new_id()
    existing = await earlier(unit, once, file_id)
    if existing is not None:
        return await get(unit, principal, existing), True
    owner = await users.subject(unit, principal, user_id)
    await _check_quota(unit, owner, upload.size, quota)
    values = {"id": file_id, "user_id": owner, "name": upload.name, "media_type": media_type}
    row = await unit.files.add({**values, "size": upload.size, "sha256": upload.sha256})
    upload.content.seek(0)
    number = 0
    while piece := upload.content.read(PIECE):
        await unit.files.add_piece(file_id, number, piece)
        number += 1
    return row, False


async def _check_quota(unit: Unit, user_id: UUID, size: int, quota: int) -> None:
    used = await unit.files.used(user_id)
    if used + size > quota:
        raise Conflict(
            f"The files of this user take {used} of {quota} bytes; there is no room for {size} more. Delete some.",
            code="file_quota_exceeded",
            extra={"used": used, "quota": quota},
        )


@dataclass(frozen=True, slots=True)
class Made:
    """A file that a run keeps for itself: a result (`artifact`), or something that it fetched (`input`)."""

    id: UUID
    name: str
    data: bytes
    role: str = "artifact"


async def save_made(unit: Unit, run_id: UUID, user_id: UUID, made: Made, *, quota: int) -> File:
    """Keep what a run made; the same id again gives the file that is there. Raises as `keep` does."""
    known = await unit.files.get(made.id)
    if known is not None:
        return known
    media_type = sniff(made.data[:_HEAD], made.name)
    await _check_quota(unit, user_id, len(made.data), quota)
    row = await unit.files.add(
        {
            "id": made.id,
            "user_id": user_id,
            "name": made.name,
            "media_type": media_type,
            "size": len(made.data),
            "sha256": hashlib.sha256(made.data).digest(),
            "made_by_run_id": run_id,
        }
    )
    for number, start in enumerate(range(0, len(made.data), PIECE)):
        await unit.files.add_piece(made.id, number, made.data[start : start + PIECE])
    await unit.files.attach(run_id, [made.id], made.role)
    return row


async def get(unit: Unit, principal: Principal, file_id: UUID) -> File:
    """The file. Raises NotFound, also for one of a user whom the principal does not stand for."""
    row = await unit.files.get(file_id)
    if row is None:
        raise NotFound("There is no such file.", code="file_not_found")
    users.check_visible(principal, row.user_id, "file")
    return row


async def pieces(database: Database, row: File) -> AsyncIterator[bytes]:
    """The file's content, piece by piece, each read in a unit of its own. It ends early if the file is deleted."""
    for number in range((row.size + PIECE - 1) // PIECE):
        async with database.begin(row.workspace_id) as unit:
            piece = await unit.files.piece(row.id, number)
        if piece is None:
            return
        yield piece


async def delete(unit: Unit, principal: Principal, file_id: UUID) -> None:
    """Delete the file. Runs that have it go on with what they have read. Raises NotFound."""
    row = await get(unit, principal, file_id)
    await unit.files.delete(row.id)


async def page(
    unit: Unit, principal: Principal, *, limit: int, after: UUID | None, user_id: str | None = None
) -> list[File]:
    """Files, the newest first; of one user when `user_id` names one."""
    whose, nobody = await users.filtered(unit, principal, user_id)
    return [] if nobody else await unit.files.page(limit=limit, after=after, user_id=whose)


async def check(unit: Unit, file_ids: Sequence[UUID], user_id: UUID, at: str = "body.files") -> list[str]:
    """The ids as a run's input keeps them, all files of that user. Raises InvalidInput naming the first other."""
    found = {row.id for row in await unit.files.those(file_ids) if row.user_id == user_id} if file_ids else set[UUID]()
    for file_id in file_ids:
        if file_id not in found:
            raise InvalidInput(f"{at}: there is no file {file_id} of this user.", code="file_not_found")
    return [str(file_id) for file_id in dict.fromkeys(file_ids)]


async def show(unit: Unit, rows: list[File]) -> list[FileOut]:
    """Files as clients see them."""
    names = await unit.users.names([row.user_id for row in rows])
    return [FileOut(**_shown(row, names[row.user_id])) for row in rows]


async def of_run(unit: Unit, run_id: UUID) -> list[RunFileOut]:
    """The files that a run was given or made, as clients see them. The caller has looked whether the run is visible."""
    found = await unit.files.of_run(run_id)
    names = await unit.users.names([row.user_id for row, _ in found])
    return [RunFileOut(**_shown(row, names[row.user_id]), role=role) for row, role in found]


def _shown(row: File, user: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "media_type": row.media_type,
        "size": row.size,
        "sha256": row.sha256.hex(),
        "run_id": row.made_by_run_id,
        "user_id": user,
        "content_url": f"/files/{row.id}/content",
        "created_at": row.created_at,
    }
