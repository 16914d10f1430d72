"""Citations: what is refused, and how references become numbers."""

import pytest

from app.agents.citations import cited, complaint, numbered, ref_of

ONE, TWO = ref_of("https://one.example/page"), ref_of("corpus:two")
KNOWN = {ONE: "https://one.example/page", TWO: "corpus:two"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("It is so [src-00000000].", "src-00000000"),
        (f"It is so [{ONE}, src-00000000].", "src-00000000"),
        ("See https://two.example/.", "https://two.example/"),
        ("See www.two.example.", "www.two.example"),
        (f"It is so [{ONE}](//evil.example).", "no links"),
        ('<img src="//evil.example/x">', "no links"),
        ("It is so [1].", "Do not number"),
    ],
)
def test_what_was_never_fetched_is_refused(text: str, word: str) -> None:
    assert word in (complaint([text], KNOWN.keys(), KNOWN.values()) or "")


def test_what_was_fetched_is_cited_and_numbered_in_order() -> None:
    text = f"First [{TWO}], then [{ONE}; {TWO}] and [{ONE}]; see https://one.example/page."
    assert complaint([text], KNOWN.keys(), KNOWN.values()) is None
    assert cited([text, f"[{ONE}]"]) == [TWO, ONE]
    assert numbered(text, {TWO: 1, ONE: 2}) == "First [1], then [2][1] and [2]; see https://one.example/page."
