"""Tools of the client: checked when they are declared, answered once."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from app.agents.schemas import check_schema
from app.database.unit import Unit
from app.models.awaited import AwaitedCall
from app.models.client_tool import ClientToolIn, ToolResultIn
from app.models.errors import InvalidInput, NotFound
from app.models.identity import Principal
from app.models.json_patch import check_bounds
from app.models.run import Run
from app.services import awaited, runs

MOST_BYTES = 65_536
"""Bytes of one tool's parameters as JSON text."""

_PREFIX = "final_result"  # the agent library answers through tools of this name


def declared(tools: Sequence[ClientToolIn], *, taken: Collection[str]) -> list[dict[str, Any]]:
    """The tools as they are stored. `taken` are names that the model knows other tools by. Raises InvalidInput."""
    names = set(taken)
    for number, tool in enumerate(tools):
        at = f"client_tools.{number}"
        if tool.name in names or tool.name.startswith(_PREFIX):
            raise InvalidInput(f"{at}.name: there is a tool {tool.name!r} already.", code="tool_name_taken")
        names.add(tool.name)
        check_bounds(tool.parameters, most=MOST_BYTES, what="schema")
        check_schema(tool.parameters, at=f"{at}.parameters")
    return [tool.model_dump() for tool in tools]


async def answer(unit: Unit, principal: Principal, run_id: UUID, results: Sequence[ToolResultIn], *, most: int) -> Run:
    """Answer calls of a run, all or none; the run as it is then. `most` bounds each content, in bytes of JSON text.

    Raises NotFound, Conflict (`already_answered`, `call_expired`, `call_void`), InvalidInput.
    """
    run = await runs.get(unit, principal, run_id)
    calls = {call.tool_call_id: call for call in await unit.awaited.of_run(run.id) if call.kind == "client"}
    for number, result in enumerate(results):
        if result.tool_call_id not in calls:
            raise NotFound("The run waits for no such call.", code="call_not_found")
        check_bounds(result.content, most=most, what=f"content of results.{number}")
    conversation = await unit.conversations.get(run.conversation_id)
    untrusted = (
        {tool["name"] for tool in conversation.client_tools if tool["untrusted"]} if conversation else set[str]()
    )
    outcomes = {one.tool_call_id: _outcome(one, calls[one.tool_call_id], untrusted) for one in results}
    await awaited.answer(unit, run.id, outcomes, answered_by=principal.id)
    return await runs.get(unit, principal, run_id)


def _outcome(result: ToolResultIn, call: AwaitedCall, untrusted: Collection[str]) -> dict[str, Any]:
    """What the agent is told; the words of others that an untrusted tool brings in taint the run."""
    more = {"taint": [f"client:{call.tool}"]} if call.tool in untrusted else {}
    if result.error is not None:
        return awaited.failed(result.error, **more)
    return awaited.ok(result.content, **more)
