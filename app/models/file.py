"""A file: what somebody uploaded, or what a run made."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.models.wire import Outbound

FileIds = Annotated[list[Annotated[UUID, Field(strict=False)]], Field(max_length=10)]
"""Files that go along with a message or a task."""


@dataclass(frozen=True, slots=True)
class File:
    """A row of `files`; the content lies beside it in pieces."""

    workspace_id: UUID
    id: UUID
    user_id: UUID
    name: str
    media_type: str
    size: int
    sha256: bytes
    made_by_run_id: UUID | None
    created_at: datetime


class FileOut(Outbound):
    """A file without its content, which is at `content_url`. `run_id` names the run that made it."""

    id: UUID
    name: str = Field(examples=["contract.pdf"])
    media_type: str = Field(examples=["application/pdf"])
    size: int = Field(examples=[48_213])
    sha256: str
    run_id: UUID | None = Field(examples=[None])
    user_id: str = Field(examples=["owner"])
    content_url: str = Field(examples=["/files/0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11/content"])
    created_at: datetime


class RunFileOut(FileOut):
    """A file of a run: one that it was given (`input`), or one that it made (`artifact`)."""

    role: str = Field(examples=["artifact"])
