"""Tools that the application carries out: shown to the model as declared, handed on when they are called."""

from collections.abc import Mapping
from typing import Any

from pydantic_ai import ModelRetry, RunContext, Tool
from pydantic_ai.exceptions import CallDeferred
from pydantic_core import SchemaValidator, core_schema

from app.agents import policy
from app.agents.context import AgentContext
from app.agents.schemas import violations
from app.agents.tool import ToolSpec
from app.models.client_tool import ClientToolIn

_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema()))


def handed_on(declared: Mapping[str, Any]) -> ToolSpec:
    """The tool as the agent has it. Its arguments must fit what the client has declared; then the run waits."""
    tool = ClientToolIn.model_validate(declared)

    async def hand_on(**_arguments: Any) -> None:
        raise CallDeferred(metadata={"seconds": tool.timeout_seconds})

    async def check(_ctx: RunContext[AgentContext], **arguments: Any) -> None:
        wrong = violations(tool.parameters, arguments)
        if wrong:
            raise ModelRetry(f"The arguments do not fit: {'; '.join(wrong)}")

    made = Tool[AgentContext].from_schema(hand_on, tool.name, tool.description, tool.parameters, args_validator=check)
    made.function_schema.validator = _OBJECT
    made.max_retries = 2
    return ToolSpec(
        tool=made,
        scope="The application that the conversation belongs to.",
        defers=True,
        policy=lambda context, _arguments: policy.of_client_tool(context, tool.name, tool.approval),
    )


def gone(name: str) -> dict[str, Any]:
    """Stands for a tool that the application has taken away while a call of it was on its way."""
    return {
        "name": name,
        "description": "The application has taken this tool away: do not call it again.",
        "parameters": {"type": "object"},
    }
