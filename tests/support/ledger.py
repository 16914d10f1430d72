"""What must hold of a stored history, whatever happened to the runs that wrote it."""

from collections.abc import Sequence
from typing import Any


def check_history(messages: Sequence[dict[str, Any]]) -> None:
    """Assert that a provider would accept it: each tool call is answered once, right after it, and nothing else is."""
    owed: set[str] = set()
    for message in messages:
        parts = message["parts"]
        results = [part for part in parts if part["part_kind"] in ("tool-return", "retry-prompt")]
        returned = {part["tool_call_id"] for part in results if part.get("tool_name")}
        assert returned <= owed, f"results without calls: {returned - owed}"
        owed -= returned
        if message["kind"] == "response":
            assert not owed, f"calls never answered: {owed}"
            owed = {part["tool_call_id"] for part in parts if part["part_kind"] == "tool-call"}
        elif any(part["part_kind"] == "user-prompt" for part in parts):
            assert not owed, f"a prompt before the answers of {owed}"
    assert not owed, f"calls never answered: {owed}"
