"""Tools of the client: checked when they are declared."""

from collections.abc import Collection, Sequence
from typing import Any

from app.agents.schemas import check_schema
from app.models.client_tool import ClientToolIn
from app.models.errors import InvalidInput
from app.models.json_patch import check_bounds

MOST_BYTES = 65_536
"""Bytes of one tool's parameters as JSON text."""


def declared(tools: Sequence[ClientToolIn], *, taken: Collection[str]) -> list[dict[str, Any]]:
    """The tools as they are stored. `taken` are names that the model knows other tools by. Raises InvalidInput."""
    names = set(taken)
    for number, tool in enumerate(tools):
        at = f"client_tools.{number}"
        if tool.name in names:
            raise InvalidInput(f"{at}.name: there is a tool {tool.name!r} already.", code="tool_name_taken")
        names.add(tool.name)
        check_bounds(tool.parameters, most=MOST_BYTES)
        check_schema(tool.parameters, at=f"{at}.parameters")
    return [tool.model_dump() for tool in tools]
