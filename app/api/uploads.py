"""Uploads: a file as the whole body, or as the field `file` of a form, into a temporary place, never past the limit."""

import contextlib
from collections.abc import AsyncGenerator
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from app.models.errors import BadRequest, InvalidInput, PayloadTooLarge, UnsupportedMediaType
from app.services.files import Upload, clean_name, measured

_IN_MEMORY = 1024 * 1024
_FORM_OVERHEAD = 64 * 1024


@contextlib.asynccontextmanager
async def uploaded(request: Request, limit: int, name: str | None) -> AsyncGenerator[Upload]:
    """The file of the request; it is gone when the block ends. `name` goes before the one that the form gives.

    Raises PayloadTooLarge as soon as more than `limit` bytes are announced or sent, and BadRequest,
    UnsupportedMediaType or InvalidInput for a body that holds no single file.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("A content encoding is not accepted; send the file as it is.")
    declared = request.headers.get("content-type", "")
    with contextlib.ExitStack() as open_files:
        if declared.lower().startswith("multipart/form-data"):
            content, given, kind = await _of_form(request, limit, open_files)
        else:
            content, given, kind = await _of_body(request, limit, open_files), None, declared
        upload = measured(content, clean_name(name or given or "file"), kind)
        if upload.size > limit:
            raise _too_large(limit)
        yield upload


async def _of_body(request: Request, limit: int, open_files: contextlib.ExitStack) -> BinaryIO:
    spool = open_files.enter_context(SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115 - the stack closes it
    async for chunk in _bounded(request, limit, limit):
        spool.write(chunk)
    return cast("BinaryIO", spool)


async def _of_form(request: Request, limit: int, open_files: contextlib.ExitStack) -> tuple[BinaryIO, str | None, str]:
    stream = _bounded(request, limit, limit + _FORM_OVERHEAD)
    parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=4, max_part_size=4096)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise BadRequest(f"The form cannot be read: {error.message}", code="invalid_form") from None
    fields = dict(form.multi_items())
    for value in fields.values():
        if isinstance(value, UploadFile):
            open_files.callback(value.file.close)
    found = fields.pop("file", None)
    if not isinstance(found, UploadFile) or fields:
        raise InvalidInput("body: send one file, as the form's field `file`, and nothing else.", code="invalid_form")
    return found.file, found.filename, found.content_type or ""


async def _bounded(request: Request, limit: int, most: int) -> AsyncGenerator[bytes, None]:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > most:
        raise _too_large(limit)
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise _too_large(limit)
            yield chunk
    except ClientDisconnect:
        raise BadRequest("The client closed the connection before the file was complete.") from None


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The file is larger than {limit} bytes.",
        code="file_too_large",
        headers={"Connection": "close"},
        extra={"max_bytes": limit},
    )


def form_or_bytes(example: str) -> dict[str, Any]:
    """What OpenAPI says of such a body."""
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": binary}, "required": ["file"], "additionalProperties": False}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "application/octet-stream": {"schema": binary, "example": example},
            },
        }
    }
