"""What clients of the OpenAI API send, in our words."""

from collections.abc import Iterable, Sequence
from typing import Any

from app.models.errors import InvalidInput
from app.models.imported import Imported, ImportedCall
from app.models.openai import AssistantIn, CompletionMessage, SpokenIn, text_of


def history_of(messages: Iterable[CompletionMessage]) -> list[Imported]:
    """The messages of a chat completion."""
    return [_message(one) for one in messages]


def _message(one: CompletionMessage) -> Imported:
    if isinstance(one, SpokenIn):
        return Imported("user" if one.role == "user" else "system", text_of(one.content))
    if isinstance(one, AssistantIn):
        calls = tuple(
            ImportedCall(call.id, call.function.name, call.function.arguments) for call in one.tool_calls or ()
        )
        return Imported("assistant", text_of(one.content), calls)
    return Imported("tool", text_of(one.content), call_id=one.tool_call_id)


def no_tools(tools: Sequence[Any] | None) -> None:
    """Refuse functions of the client."""
    if tools:
        raise InvalidInput(
            "Functions of the client are not supported.", extra={"param": "tools"}, code="unsupported_parameter"
        )
