"""Cleaning of text from models and tools, so that it can be stored: no NUL, no half of a surrogate pair."""

import re
from typing import TypeVar, cast

T = TypeVar("T")

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def clean(value: T) -> T:
    """The value with U+FFFD for each NUL and lone surrogate, in strings at any depth, keys included.

    A surrogate pair that was left as two halves becomes the one character it stands for. What needs no change is
    returned as it is.
    """
    return cast("T", _clean(value))


def _clean(value: object) -> object:
    if isinstance(value, str):
        return value if _UNSTORABLE.search(value) is None else _clean_text(value)
    if isinstance(value, dict):
        items = cast("dict[object, object]", value)
        return {_clean(key): _clean(item) for key, item in items.items()}
    if isinstance(value, list):
        return [_clean(item) for item in cast("list[object]", value)]
    if isinstance(value, tuple):
        return tuple(_clean(item) for item in cast("tuple[object, ...]", value))
    return value


def _clean_text(text: str) -> str:
    joined = _PAIR.sub(lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return _UNSTORABLE.sub("\ufffd", joined)


_UNSEEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad\U000e0000-\U000e007f]")


def visible(text: str) -> str:
    """Text from outside without the characters that a reader would not see: zero width, direction marks, tags."""
    return _UNSEEN.sub("", _clean_text(text))
