"""A summary of the earlier part of a conversation: an entry beside the log, which stays whole."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Summary:
    """What a model made of the log up to an entry, and where it comes from.

    `last_id` is the last entry that it covers, `responses` how many responses are among those. `before_response`
    says that the next entry is a response: the cut is inside a run's work.
    """

    id: UUID
    last_id: UUID
    text: str
    responses: int
    entries: int
    before_response: bool
    model: str
    run_id: UUID | None
    usage: dict[str, Any]
