"""Text that a database can hold."""

import json

from hypothesis import given
from hypothesis import strategies as st

from app.agents.text import clean, visible

ANY_TEXT = st.text(st.characters(exclude_categories=()))


def test_replaces_what_cannot_be_stored() -> None:
    assert clean("a\x00b\ud800c") == "a\ufffdb\ufffdc"
    assert clean("\ud83d\ude00") == "\U0001f600"
    assert clean({"k\x00": ["x\x00", ("y\udfff",), 1, None]}) == {"k\ufffd": ["x\ufffd", ("y\ufffd",), 1, None]}


@given(
    st.recursive(ANY_TEXT | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner))
)
def test_whatever_comes_can_be_written_as_utf8(value: object) -> None:
    text = json.dumps(clean(value), ensure_ascii=False)
    assert "\\u0000" not in text
    text.encode()


@given(st.text())
def test_good_text_stays(text: str) -> None:
    if "\x00" not in text:
        assert clean(text) is text


def test_takes_out_what_no_reader_sees() -> None:
    assert visible("a\u200bb\u202ec\U000e0041d") == "abcd"
