"""Changes to JSON objects: what RFC 6902 and RFC 7396 say, and where they end."""

from typing import Any

import pytest

from app.models.errors import AppError, Conflict, InvalidInput
from app.models.json_patch import check_bounds, found_at, merged, patched

ORDER: dict[str, Any] = {"order": {"id": 17, "lines": ["pen", "ink"]}, "a/b": {"m~n": True}}
DEEP: dict[str, Any] = {"op": "add", "path": "/x", "value": {}}


def patch(*operations: dict[str, Any], most: int = 10_000) -> dict[str, Any]:
    return patched(ORDER, operations, most=most)


@pytest.mark.parametrize(
    ("operation", "pointer", "value"),
    [
        ({"op": "add", "path": "/order/status", "value": None}, "/order", {**ORDER["order"], "status": None}),
        ({"op": "add", "path": "/order/lines/0", "value": "cap"}, "/order/lines", ["cap", "pen", "ink"]),
        ({"op": "add", "path": "/order/lines/-", "value": "cap"}, "/order/lines", ["pen", "ink", "cap"]),
        ({"op": "remove", "path": "/order/lines/0"}, "/order/lines", ["ink"]),
        ({"op": "replace", "path": "/a~1b/m~0n", "value": 1}, "/a~1b", {"m~n": 1}),
        ({"op": "move", "from": "/order/id", "path": "/id"}, "", {"order": {"lines": ["pen", "ink"]}, "id": 17}),
        ({"op": "copy", "from": "/order/lines", "path": "/order/old"}, "/order/old", ["pen", "ink"]),
        ({"op": "replace", "path": "", "value": {"new": 1}}, "", {"new": 1}),
        ({"op": "test", "path": "/order/id", "value": 17.0}, "/order/id", 17),
    ],
)
def test_each_operation(operation: dict[str, Any], pointer: str, value: Any) -> None:
    after = patch(operation)
    if pointer or operation["op"] == "replace":
        assert found_at(after, pointer) == value
    assert ORDER["order"] == {"id": 17, "lines": ["pen", "ink"]}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/nowhere"},
        {"op": "replace", "path": "/order/lines/2", "value": 1},
        {"op": "add", "path": "/order/lines/9", "value": 1},
        {"op": "add", "path": "/order/lines/01", "value": 1},
        {"op": "add", "path": "/order/id/deeper", "value": 1},
        {"op": "add", "path": "/no/where", "value": 1},
        {"op": "move", "from": "/order", "path": "/order/id"},
        {"op": "copy", "from": "/nowhere", "path": "/x"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "", "value": [1]},
        {"op": "replace", "path": "/order/lines/-", "value": 1},
    ],
)
def test_an_operation_that_leads_nowhere_is_named(operation: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        patch({"op": "test", "path": "/order/id", "value": 17}, operation)
    assert refused.value.code == "patch_not_applicable"


@pytest.mark.parametrize("value", [18, "17", True, None])
def test_a_failed_test_is_a_conflict(value: Any) -> None:
    with pytest.raises(Conflict) as refused:
        patch({"op": "test", "path": "/order/id", "value": value})
    assert (refused.value.code, refused.value.extra) == ("test_failed", {"operation": 0})
    with pytest.raises(Conflict):
        patched({"flag": 1}, [{"op": "test", "path": "/flag", "value": True}], most=100)


def test_copies_cannot_grow_a_document_without_end() -> None:
    double = [{"op": "copy", "from": "", "path": f"/c{n}"} for n in range(200)]
    with pytest.raises(InvalidInput) as refused:
        patch(*double)
    assert refused.value.code == "context_too_large"


def test_nesting_ends_somewhere() -> None:
    steps = [{"op": "add", "path": "/x" * n, "value": {}} for n in range(1, 200)]
    with pytest.raises(InvalidInput) as refused:
        check_bounds(patched({}, steps, most=10**6), most=10**6)
    assert refused.value.code == "too_deep"
    with pytest.raises(AppError):
        patched({}, [*steps, {"op": "copy", "from": "", "path": "/y"}], most=10**6)


@pytest.mark.parametrize(
    ("document", "change", "after"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "foo"}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merging_as_the_specification_shows_it(document: Any, change: Any, after: Any) -> None:
    before = dict(document)
    assert merged(document, change) == after
    assert document == before


@pytest.mark.parametrize("pointer", ["/nowhere", "/order/lines/7", "order", "/order/id/0", "/order/lines/-"])
def test_a_pointer_that_leads_nowhere_is_told(pointer: str) -> None:
    with pytest.raises(LookupError):
        found_at(ORDER, pointer)
