"""What a run gets from the application that it stands beside: the state in its words, and the client's tools."""

from collections.abc import Mapping
from typing import Any

from app.agents.app_state import StateBlock, state_block
from app.agents.client_tools import gone, handed_on
from app.agents.tool import ToolSpec
from app.services.app_state import AttemptState
from app.services.attempt import Attempt
from app.services.workshop import Workshop


def state_of(shared: Workshop, attempt: Attempt) -> AttemptState | None:
    """The application's state for an attempt, in patterns that share one."""
    if not shared.registry.pattern(attempt.run.pattern).shares_state:
        return None
    return AttemptState(shared.database, attempt, most=shared.context_bytes)


def words(shared: Workshop, attempt: Attempt) -> list[StateBlock]:
    """The state as words before each request, in patterns that share one."""
    return [state_block] if shared.registry.pattern(attempt.run.pattern).shares_state else []


def client_tools(attempt: Attempt) -> list[ToolSpec]:
    """The tools of the client: declared, and those that were taken away while the run waited for them."""
    assert attempt.history is not None
    declared: dict[str, Mapping[str, Any]] = {tool["name"]: tool for tool in attempt.history.client_tools}
    waited = {call.tool: gone(call.tool) for call in attempt.awaited if call.kind == "client"}
    return [handed_on(tool) for tool in {**waited, **declared}.values()]
