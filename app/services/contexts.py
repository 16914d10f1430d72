"""The context of a conversation: the application's state, changed under the row's lock so that nothing is lost."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.agents.schemas import check_schema, violations
from app.database.unit import Unit
from app.models.context import ContextChange
from app.models.conversation import Conversation
from app.models.errors import Conflict, InvalidInput, NotFound
from app.models.identity import Principal
from app.models.json_patch import check_bounds, merged, patched
from app.services import users

TAINT = "context"
"""Marks what may hold words of others because an application says so of its context."""


def check(data: Mapping[str, Any], schema: Mapping[str, Any] | None, *, most: int, at: str = "context_data") -> None:
    """Refuse a context that is too large, too deep, or not what its schema says; the error names the place."""
    check_bounds(data, most=most)
    if schema is None:
        return
    wrong = violations(schema, data)
    if wrong:
        raise InvalidInput(f"{at}: {wrong[0]}", code="context_does_not_fit", extra={"violations": wrong[:20]})


def check_schema_of(schema: Mapping[str, Any] | None, *, most: int) -> None:
    """Refuse a context schema that cannot be used, or is longer than a context may be."""
    if schema is not None:
        check_bounds(schema, most=most, what="schema")
        check_schema(schema, at="context_schema")


def with_change(row: Conversation, change: ContextChange, *, most: int) -> dict[str, Any]:
    """The context data of a locked conversation as the change would leave it.

    Raises Conflict for another version or a failed `test`, and InvalidInput.
    """
    check_version(row, change.version)
    if change.merge is not None:
        data = merged(row.context_data, change.merge)
    else:
        data = patched(row.context_data, change.operations(), most=most)
    check(data, row.context_schema, most=most)
    return data


def with_patch(row: Conversation, operations: Sequence[Mapping[str, Any]], *, most: int) -> dict[str, Any]:
    """The same for operations that an agent wants to make."""
    data = patched(row.context_data, operations, most=most)
    check(data, row.context_schema, most=most)
    return data


def check_version(row: Conversation, version: int | None) -> None:
    """Refuse a change to another version than the present one. Raises Conflict."""
    if version is not None and version != row.context_version:
        raise Conflict(
            f"The context has changed: it is at version {row.context_version}.",
            code="context_changed",
            extra={"version": row.context_version},
        )


def replaced(row: Conversation, given: Mapping[str, Any], *, most: int) -> dict[str, Any]:
    """The columns of a locked conversation once `context_data` or `context_schema` was given anew.

    Raises InvalidInput when the data do not fit the schema, whichever of them is new.
    """
    values = {name: given[name] for name in ("context_data", "context_schema") if name in given}
    if not values:
        return {}
    schema = values.get("context_schema", row.context_schema)
    if "context_schema" in values:
        check_schema_of(schema, most=most)
    check(values.get("context_data", row.context_data), schema, most=most, at="body.context_data")
    if "context_data" in values:
        values["context_version"] = row.context_version + 1
    return values


async def put(unit: Unit, row: Conversation, data: Mapping[str, Any]) -> Conversation:
    """Store the context data of a locked conversation as its next version."""
    values = {"context_data": dict(data), "context_version": row.context_version + 1}
    return _there(await unit.conversations.change(row.id, values))


async def change(
    unit: Unit, principal: Principal, conversation_id: UUID, wanted: ContextChange, *, most: int
) -> Conversation:
    """Change the context. Raises NotFound, Conflict (`context_changed`, `test_failed`), InvalidInput."""
    row = _there(await unit.conversations.lock(conversation_id))
    users.check_visible(principal, row.user_id, "conversation")
    return await put(unit, row, with_change(row, wanted, most=most))


def _there(row: Conversation | None) -> Conversation:
    if row is None:
        raise NotFound("There is no such conversation.", code="conversation_not_found")
    return row
