"""Paths into a JSON value: the part of JSONPath (RFC 9535) that names one place."""

import re
from typing import Any, cast

HEADERS = "$headers"
"""Stands for the request's headers in place of `$`, the payload: `$headers['x-github-event']`."""

_STEP = re.compile(r"""\.([^\W\d][\w-]*)|\[(\d{1,9})\]|\['([^'\\]{0,200})'\]|\["([^"\\]{0,200})"\]""")

Steps = tuple[str | int, ...]


def parse(path: str) -> tuple[str, Steps]:
    """The root (`$` or `$headers`) and the steps of a path such as `$.a.b[0]['c d']`. Raises ValueError."""
    root = HEADERS if path.startswith(HEADERS) else "$"
    if not path.startswith(root):
        raise ValueError("a path starts with $ (the payload) or $headers, as in $.order.items[0]['sku']")
    steps: list[str | int] = []
    at = len(root)
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise ValueError(f"the path cannot be read at character {at + 1}: use .name, [0] and ['name'] only")
        name, index, single, double = found.groups()
        steps.append(
            int(index) if index is not None else next(part for part in (name, single, double) if part is not None)
        )
        at = found.end()
    return root, tuple(steps)


def checked(path: str) -> str:
    """The path itself, if it can be read. Raises ValueError."""
    parse(path)
    return path


def find(value: Any, steps: Steps) -> tuple[bool, Any]:
    """Whether there is such a place in the value, and what stands there."""
    for step in steps:
        if isinstance(step, str) and isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            if step not in members:
                return False, None
            value = members[step]
        elif isinstance(step, int) and isinstance(value, list):
            items = cast("list[Any]", value)
            if step >= len(items):
                return False, None
            value = items[step]
        else:
            return False, None
    return True, value
