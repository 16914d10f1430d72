"""A message for a run that is active: handed to its agent between two steps, or the next run's prompt."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Steering:
    """A row of `steering`: delivered once it stands in the log, else handed on to `next_run_id`."""

    workspace_id: UUID
    id: UUID
    run_id: UUID
    text: str
    created_by: str
    created_at: datetime
    delivered_at: datetime | None
    next_run_id: UUID | None
