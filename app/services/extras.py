"""What goes along with a prompt: documents, and the shape that the answer must have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.agents.schemas import check_schema
from app.database.unit import Unit
from app.services import files


@dataclass(frozen=True, slots=True)
class Extras:
    """Files by their ids, and a JSON Schema of an object."""

    files: Sequence[UUID] = ()
    output_schema: Mapping[str, Any] | None = None


NOTHING = Extras()
"""A prompt by itself."""


async def checked(unit: Unit, wanted: Extras, user_id: UUID) -> dict[str, Any]:
    """The members of a run's input, if the files are that user's and the schema can be used. Raises InvalidInput."""
    found: dict[str, Any] = {}
    if wanted.files:
        found["files"] = await files.check(unit, wanted.files, user_id)
    if wanted.output_schema is not None:
        check_schema(wanted.output_schema)
        found["output_schema"] = dict(wanted.output_schema)
    return found
