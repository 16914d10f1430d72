"""Research on the wire and in the ledger: what is wanted of it, and the sources that it really read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from app.models.wire import Inbound, Outbound

SourceKind = Literal["web", "files", "corpus"]
"""Where researchers look: the web, the documents of the task, the articles that come with the product."""

MOST_DEPTH = 3
MOST_BREADTH = 8

Link = Annotated[str, StringConstraints(min_length=8, max_length=2048, pattern=r"^https?://")]


class ResearchOptions(Inbound):
    """How a piece of research is done: `breadth` researchers at a time, in up to `depth` rounds.

    Without `sources`, the web is searched and the documents of the task are read; with the demo model the articles that
    come with the product. `urls` are pages that may be read besides what a search finds.
    """

    depth: int = Field(default=1, ge=1, le=MOST_DEPTH)
    breadth: int = Field(default=4, ge=1, le=MOST_BREADTH)
    sources: list[SourceKind] | None = Field(default=None, min_length=1, max_length=3, examples=[["corpus"]])
    urls: list[Link] = Field(default_factory=list[str], max_length=20, examples=[[]])


@dataclass(frozen=True, slots=True)
class Source:
    """A row of `sources`: something that a run fetched and was given to read. `url` may be `corpus:` or `file:`."""

    workspace_id: UUID
    root_run_id: UUID
    ref: str
    run_id: UUID
    kind: str
    url: str
    title: str
    excerpt: str
    number: int | None
    fetched_at: datetime


class SourceOut(Outbound):
    """A source that was read. `number` is the one that the report cites it by; null where it does not."""

    ref: str = Field(examples=["src-5f3a9c1e"])
    number: int | None = Field(examples=[1])
    title: str = Field(examples=["Tides"])
    url: str = Field(examples=["corpus:tides"])
    kind: str = Field(examples=["corpus"])
    excerpt: str = Field(examples=["The sea rises and falls twice a day on most coasts."])
    run_id: UUID
    fetched_at: datetime
