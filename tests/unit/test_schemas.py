"""JSON Schemas that people hand in: which are kept, and what is said of data that does not fit."""

import time
from typing import Any

import pytest

from app.agents.schemas import check_schema, violations
from app.models.errors import InvalidInput

TREE: dict[str, Any] = {
    "type": "object",
    "properties": {"value": {"type": "string"}, "left": {"$ref": "#"}, "right": {"$ref": "#"}},
    "additionalProperties": False,
}
LAUGHS: dict[str, Any] = {
    "type": "object",
    "allOf": [{"$ref": "#/$defs/a0"}],
    "$defs": {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)} | {"a40": {}},
}
DEEP_LAUGHS: dict[str, Any] = {
    "type": "object",
    "properties": {"decoy": {"allOf": [{}, {}, {}, {}]}, "child": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}},
}


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "array"}, "body.output_schema: the schema must say"),
        ({"type": "object", "properties": {"a": {"type": "strin"}}}, "body.output_schema.properties.a.type:"),
        ({"type": "object", "properties": {"a": {"pattern": "(a"}}}, "body.output_schema.properties.a.pattern:"),
        ({"type": "object", "properties": {"a": {"pattern": "(?=a)b"}}}, "properties.a.pattern:"),
        ({"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}}, "properties.a.$ref:"),
        ({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}, "properties.a.$ref:"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}, "none"),
        ({"type": "object", "$id": "https://example.com/a.json"}, "$id:"),
        ({"type": "object", "properties": {"enum": {"$id": "https://example.com/a.json"}}}, "properties.enum.$id:"),
        ({"type": "object", "$schema": "https://example.com/mine"}, "meta-schema"),
        ({"type": "object", "allOf": [{"$ref": "#"}]}, "too costly"),
        (LAUGHS, "too costly"),
        (DEEP_LAUGHS, "too costly"),
        ({"type": "object", "description": "a" * 100_000}, "at most 100000 characters"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(schema: dict[str, Any], told: str) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidInput) as error:
        check_schema(schema)
    assert told in error.value.detail
    assert error.value.code == "invalid_schema"
    assert time.monotonic() - began < 2


def test_schemas_that_refer_to_themselves_are_taken_and_checked() -> None:
    check_schema(TREE)
    assert violations(TREE, {"value": "a", "left": {"value": "b"}}) == []
    assert violations(TREE, {"left": {"right": {"value": 3}}}) == ['left.right.value: 3 is not of type "string"']


def test_violations_name_their_places_and_are_not_endless() -> None:
    schema = {
        "type": "object",
        "properties": {"$id": {"const": {"$ref": "x"}}, "n": {"type": "array", "items": {"type": "integer"}}},
        "required": ["m"],
    }
    check_schema(schema, "body.parameters")
    found = violations(schema, {"n": ["x"] * 50})
    assert len(found) == 10
    assert 'n.0: "x" is not of type "integer"' in found
    assert violations(schema, {"n": []}) == ['the whole: "m" is a required property']


def test_a_pattern_takes_time_in_proportion_to_the_text() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    check_schema(schema)
    began = time.monotonic()
    assert violations(schema, {"a": "a" * 50_000 + "!"})
    assert time.monotonic() - began < 1
