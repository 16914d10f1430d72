"""JSON Schemas that people and programs hand in: checked before they are kept, and data checked against them.

It stands on this floor because services and agents need it and vendors are known here already; it knows nothing of
agents. Draft 2020-12, or the draft that `$schema` names. Patterns are searched by an engine that is linear in the text;
nothing is ever fetched; a schema that would look at one value again and again is refused.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import jsonschema_rs

from app.models.errors import InvalidInput

Schema = Mapping[str, Any]

MOST_CHARACTERS = 100_000
"""The longest schema, written as JSON."""

MOST_VIOLATIONS = 10
"""How many things wrong with some data are told at once."""

_MOST_LOOKS = 500  # at one value
_MOST_PLACES = 20_000
_DEEP = 64
_SHOWN = 300
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 21)
_REFUSED = frozenset({"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"})
_DATA = frozenset({"const", "enum", "default", "examples"})
_MEMBERS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"})
_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLE = ("not", "if", "then", "else")
_NAMED = ("dependentSchemas", "dependencies")
_EVERY = (
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "items",
    "additionalItems",
    "unevaluatedItems",
    "contains",
)


def check_schema(schema: Schema, at: str = "body.output_schema") -> None:
    """Accept a schema that describes an object and can be used; raises InvalidInput naming the place in it.

    `at` is where the schema stands in the request.
    """
    if schema.get("type") != "object":
        raise _refused(at, 'the schema must say "type": "object"')
    try:
        text = json.dumps(schema)
    except (ValueError, RecursionError) as error:
        raise _refused(at, "this is no JSON") from error
    if len(text) > MOST_CHARACTERS:
        raise _refused(at, f"a schema has at most {MOST_CHARACTERS} characters as JSON")
    _check_words(schema, at)
    try:
        _compiled(text)
    except ValueError as error:
        raise _refused(*_told(error, at)) from None
    _Looks(schema, at).count()


def violations(schema: Schema, data: Any) -> list[str]:
    """What is wrong with the data, each as `place: what`, at most ten; empty when it fits."""
    found: list[str] = []
    for error in _compiled(json.dumps(schema)).iter_errors(data):
        place = ".".join(str(part) for part in error.instance_path) or "the whole"
        message = error.message if len(error.message) <= _SHOWN else f"{error.message[:_SHOWN]} …"
        found.append(f"{place}: {message}")
        if len(found) == MOST_VIOLATIONS:
            break
    return found


@lru_cache(maxsize=256)
def _compiled(text: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(json.loads(text), offline=True, pattern_options=_PATTERNS, validate_formats=True)


def _refused(at: str, why: str) -> InvalidInput:
    return InvalidInput(f"{at}: {why}.", code="invalid_schema")


def _told(error: ValueError, at: str) -> tuple[str, str]:
    if not isinstance(error, jsonschema_rs.ValidationError):
        return at, "this is no usable JSON Schema"
    place = ".".join([at, *(str(part) for part in error.instance_path)])
    return place, error.message.rstrip(".")[:_SHOWN]


def _check_words(node: Any, at: str, depth: int = 0, *, names: bool = False) -> None:
    """Refuse what points out of the schema or makes its references depend on where they are read.

    `names` says that the node's keys are names that the schema's author chose, not keywords.
    """
    if depth > _DEEP:
        raise _refused(at, f"a schema is nested at most {_DEEP} deep")
    if isinstance(node, dict):
        for key, value in cast("dict[str, Any]", node).items():
            if not names:
                _check_word(key, value, at)
            if names or key not in _DATA:
                _check_words(value, f"{at}.{key}", depth + 1, names=not names and key in _MEMBERS)
    elif isinstance(node, list):
        for number, value in enumerate(cast("list[Any]", node)):
            _check_words(value, f"{at}.{number}", depth + 1)


def _check_word(key: str, value: Any, at: str) -> None:
    if key in _REFUSED:
        raise _refused(f"{at}.{key}", "this keyword is not taken; refer with $ref to a place in the schema")
    if key == "$ref" and isinstance(value, str) and value != "#" and not value.startswith("#/"):
        raise _refused(f"{at}.$ref", "a reference must point into this schema, as in #/$defs/name")


class _Looks:
    """Counts how often one value of some data can be looked at: references make that grow without bound."""

    def __init__(self, schema: Schema, at: str) -> None:
        self._schema = schema
        self._at = at
        self._seen: set[tuple[int, ...]] = set()

    def count(self) -> None:
        """Go through all kinds of places that data can have. Raises InvalidInput."""
        waiting: list[list[Schema]] = [[self._schema]]
        while waiting:
            here = self._in_place(waiting.pop())
            known = tuple(sorted(id(one) for one in here))
            if known in self._seen:
                continue
            self._seen.add(known)
            if len(self._seen) > _MOST_PLACES:
                raise self._too_much()
            waiting += self._below(here)

    def _in_place(self, nodes: Sequence[Schema]) -> list[Schema]:
        """All subschemas that apply to the same value, as often as they do."""
        found: list[Schema] = []
        waiting = [(node, 0) for node in nodes]
        while waiting:
            node, depth = waiting.pop()
            found.append(node)
            if len(found) > _MOST_LOOKS or depth > _DEEP:
                raise self._too_much()
            waiting += [(one, depth + 1) for one in self._beside(node)]
        return found

    def _beside(self, node: Schema) -> list[Schema]:
        found: list[Any] = []
        for key in _LISTS:
            found += node[key] if isinstance(node.get(key), list) else []
        found += [node[key] for key in _SINGLE if key in node]
        for key in _NAMED:
            found += node[key].values() if isinstance(node.get(key), dict) else []
        if isinstance(node.get("$ref"), str):
            found.append(self._target(node["$ref"]))
        return _schemas(found)

    def _target(self, reference: str) -> Any:
        node: Any = self._schema
        for part in reference.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list):
                items = cast("list[Any]", node)
                node = items[int(key)] if key.isdecimal() and int(key) < len(items) else None
            else:
                node = cast("dict[str, Any]", node).get(key) if isinstance(node, dict) else None
        return node

    def _below(self, nodes: Sequence[Schema]) -> list[list[Schema]]:
        """For each named member, and for all others, what applies to it."""
        every: list[Any] = []
        named: dict[str, list[Any]] = {}
        for node in nodes:
            for key in _EVERY:
                value = node.get(key)
                every += cast("list[Any]", value) if isinstance(value, list) else [value]
            every += _members(node, "patternProperties").values()
            every += node["prefixItems"] if isinstance(node.get("prefixItems"), list) else []
            for name, value in _members(node, "properties").items():
                named.setdefault(name, []).append(value)
        others = _schemas(every)
        groups = [_schemas(own) + others for own in named.values()]
        return [group for group in [others, *groups] if group]

    def _too_much(self) -> InvalidInput:
        return _refused(self._at, "the references of this schema make it too costly to check")


def _members(node: Schema, key: str) -> dict[str, Any]:
    value = node.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _schemas(values: Sequence[Any]) -> list[Schema]:
    return [cast("Schema", value) for value in values if isinstance(value, dict)]
