"""Files: uploaded, listed, given out, deleted; and those of a run."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.responses import StreamingResponse
from pydantic import Field

from app.api.deps import KeyDep, ObjectId, ReadFiles, ReadRuns, RuntimeDep, UnitDep, WriteFiles, mark
from app.api.examples import answers, page
from app.api.examples_files import FILE, RUN_FILE
from app.api.pages import PageQuery, page_of
from app.api.problems import errors
from app.api.route import StrictRoute
from app.api.uploads import form_or_bytes, uploaded
from app.models.file import FileOut, RunFileOut
from app.models.page import Page
from app.services import files, runs
from app.services.idempotency import Once

router = APIRouter(route_class=StrictRoute, tags=["files"])

MEGABYTE = 1_000_000


class FileQuery(PageQuery):
    """Which files to list."""

    user_id: str | None = Field(default=None, min_length=1, max_length=255, examples=[None])


@router.post(
    "/files",
    status_code=status.HTTP_201_CREATED,
    responses=answers(201, FILE, 409),
    openapi_extra=form_or_bytes("the bytes of the file"),
)
async def upload_file(
    request: Request,
    runtime: RuntimeDep,
    principal: WriteFiles,
    key: KeyDep,
    response: Response,
    name: Annotated[str | None, Query(min_length=1, max_length=255, examples=[None])] = None,
    user_id: Annotated[str | None, Query(min_length=1, max_length=255, examples=[None])] = None,
) -> FileOut:
    """Upload a file: as the field `file` of a form, or as the whole body with `?name=`.

    Its type is told by its content: PDF, Docx, HTML, Markdown, text, CSV, JSON, PNG and JPEG are taken (else 415).
    413 for one that is larger than `SIXLANE_FILE_MAX_MB`, 409 when the user's files would take more than
    `SIXLANE_FILE_QUOTA_MB`.
    """
    sizes = runtime.settings.files
    async with uploaded(request, sizes.max_mb * MEGABYTE, name) as upload:
        once = Once(principal, f"{request.method} {request.url.path}", key, upload.sha256) if key else None
        async with runtime.database.begin(principal.workspace_id) as unit:
            quota = sizes.quota_mb * MEGABYTE
            row, replayed = await files.keep(unit, principal, upload, user_id=user_id, quota=quota, once=once)
            shown = (await files.show(unit, [row]))[0]
    mark(response, f"/files/{row.id}", replayed=replayed)
    return shown


@router.get("/files", responses=answers(200, page(FILE)))
async def list_files(unit: UnitDep, principal: ReadFiles, query: Annotated[FileQuery, Query()]) -> Page[FileOut]:
    """List files, the newest first."""
    return await page_of(
        unit.workspace_id,
        query,
        lambda limit, after: files.page(unit, principal, limit=limit, after=after, user_id=query.user_id),
        lambda rows: files.show(unit, rows),
    )


@router.get("/files/{file_id}", responses=answers(200, FILE, 404))
async def get_file(file_id: ObjectId, unit: UnitDep, principal: ReadFiles) -> FileOut:
    """Get what is known of a file."""
    return (await files.show(unit, [await files.get(unit, principal, file_id)]))[0]


@router.get(
    "/files/{file_id}/content",
    response_class=StreamingResponse,
    responses={
        **errors(404),
        200: {
            "description": "The file's bytes, to be saved.",
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}, "example": "%PDF-1.7 …"}
            },
        },
    },
)
async def get_file_content(file_id: ObjectId, runtime: RuntimeDep, principal: ReadFiles) -> Response:
    """Get a file's content, always as an attachment."""
    async with runtime.database.begin(principal.workspace_id) as unit:
        row = await files.get(unit, principal, file_id)
    headers = {
        "Content-Length": str(row.size),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(row.name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return StreamingResponse(
        files.pieces(runtime.database, row), media_type="application/octet-stream", headers=headers
    )


@router.delete("/files/{file_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(404))
async def delete_file(file_id: ObjectId, unit: UnitDep, principal: WriteFiles) -> None:
    """Delete a file for good."""
    await files.delete(unit, principal, file_id)


@router.get("/runs/{run_id}/files", responses=answers(200, page(RUN_FILE), 404))
async def list_run_files(run_id: ObjectId, unit: UnitDep, principal: ReadRuns) -> Page[RunFileOut]:
    """List the files that a run was given or made; there is one page."""
    run = await runs.get(unit, principal, run_id)
    return Page[RunFileOut](data=await files.of_run(unit, run.id), has_more=False, next_cursor=None)
