"""A history that a client brings along, as a log that a run can go on from."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_ai.conversation_store import ConversationRecord
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RunUsage

from app.agents.text import clean
from app.database.stores.entries import ConversationLog, record_of
from app.database.unit import Unit
from app.models.conversation import Conversation
from app.models.errors import InvalidInput
from app.models.ids import new_id
from app.models.imported import Imported

TAINT = "imported_result"
"""What tools of a client returned may have been written by strangers."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What a client brought: the log so far, and the prompt, or None where tools have just answered."""

    messages: list[ModelMessage]
    prompt: str | None
    tainted: bool


def read(items: Sequence[Imported]) -> Brought:
    """A history as a log and a prompt. It ends with the user, or with the answers of tools.

    Raises InvalidInput for one that no model could go on from.
    """
    if not items or items[-1].role not in ("user", "tool"):
        raise InvalidInput("The last message must be the user's, or what a function returned.", code="invalid_history")
    said = [item.text for item in _trailing_users(items)][::-1]
    before = items[: len(items) - len(said)]
    if said and not "".join(said).strip():
        raise InvalidInput("The last message is empty.", code="invalid_history")
    messages = _messages(before)
    return Brought(messages, "\n\n".join(said) or None, any(item.role == "tool" for item in before))


def _trailing_users(items: Sequence[Imported]) -> Iterator[Imported]:
    for item in reversed(items):
        if item.role != "user":
            return
        yield item


def _messages(items: Sequence[Imported]) -> list[ModelMessage]:
    messages: list[ModelMessage] = []
    parts: list[ModelRequestPart] = []
    asked: dict[str, str] = {}
    for item in items:
        if item.role == "assistant":
            _all_answered(asked)
            if parts:
                messages.append(ModelRequest(parts=parts))
                parts = []
            asked = {call.id: call.name for call in item.calls}
            messages.append(_response(item))
        elif item.role == "tool":
            parts.append(_returned(item, asked))
        else:
            _all_answered(asked)
            parts.append(SystemPromptPart(item.text) if item.role == "system" else UserPromptPart(item.text))
    _all_answered(asked)
    return [*messages, ModelRequest(parts=parts)] if parts else messages


def _response(item: Imported) -> ModelResponse:
    calls = [ToolCallPart(call.name, _arguments(call.arguments), tool_call_id=call.id) for call in item.calls]
    if len({call.tool_call_id for call in calls}) != len(calls):
        raise InvalidInput("Two calls of one answer have the same id.", code="invalid_history")
    text = [TextPart(item.text)] if item.text or not calls else []
    return ModelResponse(parts=[*text, *calls])


def _returned(item: Imported, asked: dict[str, str]) -> ToolReturnPart:
    name = asked.pop(item.call_id, None)
    if name is None:
        raise InvalidInput(
            f"The result of {item.call_id!r} answers no call of the message before it.", code="invalid_history"
        )
    return ToolReturnPart(name, item.text, tool_call_id=item.call_id, outcome="failed" if item.failed else "success")


def _all_answered(asked: dict[str, str]) -> None:
    if asked:
        raise InvalidInput(f"The call {next(iter(asked))!r} has no result.", code="invalid_history")


def _arguments(text: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(text or "{}", parse_constant=_refuse)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidInput("The arguments of a call are no JSON object.", code="invalid_history")
    return clean(cast("dict[str, Any]", found))


def _refuse(name: str) -> None:
    raise ValueError(name)


async def put(unit: Unit, conversation: Conversation, messages: Sequence[ModelMessage]) -> None:
    """Append messages to the log of a conversation in which no run is active. It is locked, or new in this unit."""
    log = ConversationLog(unit.connection, unit.workspace_id)
    ids = [new_id() for _ in messages]
    if conversation.revision is None:
        name, scope = str(conversation.id), str(conversation.workspace_id)
        record = ConversationRecord(conversation_id=name, head_id=None, scope=scope)
        await log.append(record, messages, ids, usage=RunUsage(), deferred=None, stored=False)
    else:
        record = record_of(conversation.workspace_id, str(conversation.id), conversation)
        await log.append(record, messages, ids, usage=record.usage, deferred=None)
