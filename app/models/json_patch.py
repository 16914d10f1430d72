"""Changes to a JSON object: JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396)."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jsonpatch
import jsonpointer
import pydantic_core

from app.models.errors import Conflict, InvalidInput

MOST_DEEP = 64
"""Levels of nesting that a document may have; the JSON reader of the API lets through as many."""

_PATCHES = cast("Any", jsonpatch)
_POINTERS = cast("Any", jsonpointer)
_REFUSED = (_PATCHES.JsonPatchException, _POINTERS.JsonPointerException, TypeError, ValueError, LookupError)


def patched(document: Mapping[str, Any], operations: Sequence[Mapping[str, Any]], *, most: int) -> dict[str, Any]:
    """The document after the operations of RFC 6902, all of them or none; it is not changed itself.

    Raises Conflict (`test_failed`) for a `test` that does not hold, InvalidInput naming the operation that leads
    nowhere, and when the document would grow beyond `most` bytes on the way.
    """
    present: Any = copy.deepcopy(dict(document))
    for number, operation in enumerate(operations):
        try:
            present = _PATCHES.JsonPatch([operation]).apply(present, in_place=True)
        except _PATCHES.JsonPatchTestFailed:
            raise Conflict(
                f"patch.{number}: the value at {operation['path']!r} is another one.",
                code="test_failed",
                extra={"operation": number},
            ) from None
        except (*_REFUSED, RecursionError):
            raise InvalidInput(
                f"patch.{number}: {operation['op']} at {operation['path']!r} cannot be carried out on this document.",
                code="patch_not_applicable",
                extra={"operation": number},
            ) from None
        if operation["op"] == "copy":
            check_bounds(present, most=most)  # a few of them double a document again and again
    if not isinstance(present, dict):
        raise InvalidInput("patch: the result is no JSON object.", code="patch_not_applicable")
    return cast("dict[str, Any]", present)


def merged(document: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the members of `change` put in, and without those that are null there (RFC 7396)."""
    kept = dict(document)
    for name, value in change.items():
        if value is None:
            kept.pop(name, None)
        elif isinstance(value, Mapping):
            inner = kept.get(name)
            below = cast("dict[str, Any]", inner) if isinstance(inner, dict) else dict[str, Any]()
            kept[name] = merged(below, cast("Mapping[str, Any]", value))
        else:
            kept[name] = value
    return kept


def found_at(document: Any, pointer: str) -> Any:
    """What stands at a JSON Pointer (RFC 6901); the empty one is the whole document. Raises LookupError."""
    try:
        found = _POINTERS.resolve_pointer(document, pointer)
    except _REFUSED as error:
        raise LookupError(pointer) from error
    if isinstance(found, _POINTERS.EndOfList):
        raise LookupError(pointer)
    return found


def size_of(document: Any) -> int:
    """Bytes of the document as JSON text."""
    return len(pydantic_core.to_json(document))


def check_bounds(document: Any, *, most: int, what: str = "context") -> None:
    """Raise InvalidInput for a document that is nested too deeply or longer than `most` bytes as JSON text.

    `what` names it in the error, and its first word in the code.
    """
    level: list[Any] = [document]
    for _ in range(MOST_DEEP):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            break
    else:
        raise InvalidInput(f"The {what} nests deeper than {MOST_DEEP} levels.", code="too_deep")
    if size_of(document) > most:
        code = f"{what.split(maxsplit=1)[0]}_too_large"
        raise InvalidInput(f"The {what} is longer than {most} bytes as JSON text.", code=code)


def _inside(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(cast("dict[str, Any]", value).values())
    return cast("list[Any]", value) if isinstance(value, list) else ()
