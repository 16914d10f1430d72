"""The strict JSON reader: what it lets through, what it refuses, and with which status."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.body import MAX_DEPTH, MAX_KEYS, read_json
from app.models.errors import AppError, BadRequest, InvalidInput

INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_plain_json_is_read_as_it_stands(value: Any, escaped: bool) -> None:
    assert read_json(json.dumps(value, ensure_ascii=escaped).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        value = read_json(raw)
    except (BadRequest, InvalidInput):
        return
    assert value == json.loads(raw), "what is read is what stands there"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"a":1}x',
        b'{"a":1}{}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32"),
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\x00"',
        b"{'a':1}",
        b"[1,]",
        b"01",
        b"+1",
        b"tru",
    ],
)
def test_what_is_not_json_in_utf8_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        read_json(raw)
    assert refused.value.code == "invalid_json"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"a":1,"a":2}', "duplicate_key"),
        (b'{"a":1,"\\u0061":2}', "duplicate_key"),
        (b'[{"b":{"c":1,"c":1}}]', "duplicate_key"),
        (b"NaN", "number_out_of_range"),
        (b"[Infinity]", "number_out_of_range"),
        (b"[-Infinity]", "number_out_of_range"),
        (b"1e999", "number_out_of_range"),
        (b"-1e999", "number_out_of_range"),
        (b"9223372036854775808", "number_out_of_range"),
        (b"-9223372036854775809", "number_out_of_range"),
        (b"1" * 5000, "number_out_of_range"),
        (b'"\\u0000"', "invalid_text"),
        (b'{"\\u0000":1}', "invalid_text"),
        (b'"\\ud800"', "invalid_text"),
        (b'["ok",{"a":["\\udfff"]}]', "invalid_text"),
        (b'"\\udc00\\ud800"', "invalid_text"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "too_deep"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "too_deep"),
        (json.dumps({str(n): n for n in range(MAX_KEYS + 1)}).encode(), "too_many_keys"),
        (json.dumps([{str(n): n} for n in range(MAX_KEYS + 1)]).encode(), "too_many_keys"),
    ],
)
def test_json_that_could_hurt_later_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_json(raw)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "raw",
    [
        b"9223372036854775807",
        b"-9223372036854775808",
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b"[" * MAX_DEPTH + b'"x"' + b"]" * MAX_DEPTH,
        b'"\\ud83d\\ude00"',
        b'"{[{[:::"',
        json.dumps({str(n): ":" for n in range(MAX_KEYS)}).encode(),
        b" \r\n\t{} \n",
        b"null",
    ],
)
def test_what_is_just_within_bounds_is_read(raw: bytes) -> None:
    assert read_json(raw) == json.loads(raw)


def test_a_refusal_repeats_nothing_of_the_body() -> None:
    for raw in (b'{"hunter2":1,"hunter2":2}', b'{"hunter2": nope}', b'{"hunter2":"\\u0000"}'):
        with pytest.raises(AppError) as refused:
            read_json(raw)
        assert "hunter2" not in refused.value.detail
