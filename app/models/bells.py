"""Bells: what is worth telling other processes after a commit. A lost bell costs latency, never work."""

from dataclasses import dataclass
from uuid import UUID

from app.models.frames import Frame


@dataclass(frozen=True, slots=True)
class RunReady:
    """A run can be claimed now."""

    run_id: UUID
    lane: str


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A running run was asked to stop."""

    run_id: UUID


@dataclass(frozen=True, slots=True)
class RunSteered:
    """There is a message for a running run."""

    run_id: UUID


@dataclass(frozen=True, slots=True)
class EventsAppended:
    """Events of a run were committed by somebody other than its executor."""

    workspace_id: UUID
    run_id: UUID
    fence: int
    frames: list[Frame]


Bell = RunReady | CancelAsked | RunSteered | EventsAppended
