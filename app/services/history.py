"""The history that a run goes on from and leaves behind: always valid, no tool call without a result."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from uuid import UUID

from pydantic_ai.conversation_store import ConversationRecord
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextContent,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
    repair_messages,
)

from app.database.stores.entries import ConversationLog, read_messages, record_of
from app.database.unit import Unit
from app.models.ids import new_id
from app.models.run import Run, ToolCall
from app.models.turn import OpenConversation

NOT_STARTED = "This call was not carried out: the run ended before it started."
UNKNOWN = "This call was started and the run ended before its outcome was known. Do not assume either way."


def empty_record(run: Run) -> ConversationRecord:
    """The record of a conversation whose log has nothing yet."""
    return ConversationRecord(conversation_id=str(run.conversation_id), head_id=None, scope=str(run.workspace_id))


@dataclass(frozen=True, slots=True)
class History:
    """A conversation as a run finds it; `stored` is false while its log has nothing."""

    record: ConversationRecord
    messages: list[ModelMessage]
    stored: bool
    context_data: dict[str, Any]
    targets: list[dict[str, Any]]
    grants: dict[str, Any]
    client_tools: list[dict[str, Any]]
    summary_id: UUID | None = None


def read(opened: OpenConversation) -> History:
    """What was read when the conversation was opened."""
    row = opened.row
    if row.revision is None:
        record = ConversationRecord(conversation_id=str(row.id), head_id=None, scope=str(row.workspace_id))
        return History(record, [], False, row.context_data, row.targets, row.grants, row.client_tools)
    messages = _as_sent(read_messages(opened.messages, opened.formats)) if opened.messages is not None else []
    record = record_of(row.workspace_id, str(row.id), row)
    told = row.context_data, row.targets, row.grants, row.client_tools
    return History(record, messages, True, *told, row.summary_id)


async def load(unit: Unit, run: Run) -> History:
    """The conversation's record, messages, context, targets, grants and client tools, in one statement."""
    log = ConversationLog(unit.connection, unit.workspace_id, run_id=run.id)
    conversation = await log.load(str(run.conversation_id))
    if conversation is None or log.record is None:
        return History(empty_record(run), [], False, log.context_data, log.targets, log.grants, log.client_tools)
    told = log.context_data, log.targets, log.grants, log.client_tools
    return History(log.record, _as_sent(conversation.messages), True, *told, log.summary_id)


def _as_sent(messages: list[ModelMessage]) -> list[ModelMessage]:
    """The messages in the shape that the agent library gives them before a run: two requests in a row become one.

    What a run adds is told from what was there by its place, so the shape must be settled before the run begins.
    """
    if all(one.kind != following.kind for one, following in pairwise(messages)):
        return messages
    return repair_messages(messages, repair_last_response=False)


def step_of(messages: Sequence[ModelMessage], run_id: UUID) -> int:
    """Which response of the run its last one is: 1, 2, 3 … over all attempts; 0 before the first.

    Counted, not the place in the history: that may be shaped anew before each attempt.
    """
    own = str(run_id)
    return sum(isinstance(one, ModelResponse) and (one.run_id or "").startswith(own) for one in messages)


def prompt_of(run: Run, attached: Sequence[TextContent]) -> str | Sequence[UserContent] | None:
    """What the run asks, with what goes along; None once that stands in the log."""
    if run.checkpoints > 0:
        return None
    said: str | None = run.input.get("prompt")
    return [*([said] if said else []), *attached] if attached else said


def prompts_of(messages: Sequence[ModelMessage]) -> list[str]:
    """What was asked in the conversation, the oldest first."""
    requests = (message for message in messages if isinstance(message, ModelRequest))
    parts = (part.content for request in requests for part in request.parts if isinstance(part, UserPromptPart))
    said = ([content] if isinstance(content, str) else content for content in parts)
    return [piece for content in said for piece in content if isinstance(piece, str)]


def _last_response(messages: Sequence[ModelMessage]) -> int:
    return next((at for at in range(len(messages) - 1, -1, -1) if isinstance(messages[at], ModelResponse)), 0)


def open_calls(messages: Sequence[ModelMessage]) -> list[ToolCallPart]:
    """Tool calls of the last response that no later request answers."""
    last = _last_response(messages)
    if not messages or not isinstance(response := messages[last], ModelResponse):
        return []
    answered = {
        part.tool_call_id
        for message in messages[last + 1 :]
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    }
    return [call for call in response.tool_calls if call.tool_call_id not in answered]


def close(
    messages: Sequence[ModelMessage],
    journal: Iterable[ToolCall],
    prompt: str | Sequence[UserContent] | None = None,
    *,
    step: int = 0,
) -> list[ModelMessage]:
    """What to append so that the conversation can go on: a prompt not yet in the log, results for open calls.

    `step` is the one that the open calls belong to: their results are looked for among its journal entries.
    """
    if prompt is not None:
        return [ModelRequest(parts=[UserPromptPart(content=prompt)])]
    calls = open_calls(messages)
    if not calls:
        return []
    known = {entry.tool_call_id: entry for entry in journal if entry.step == step}
    return [ModelRequest(parts=[_closing(call, known) for call in calls])]


def _closing(call: ToolCallPart, known: Mapping[str, ToolCall]) -> ToolReturnPart:
    entry = known.get(call.tool_call_id)
    content: Any = NOT_STARTED
    outcome = "interrupted"
    if entry is not None and entry.status == "done":
        content, outcome = entry.result, "success"
    elif entry is not None and entry.status in ("failed", "denied", "skipped"):
        content, outcome = entry.result, "failed"
    elif entry is not None:
        content = UNKNOWN
    return ToolReturnPart(tool_name=call.tool_name, content=content, tool_call_id=call.tool_call_id, outcome=outcome)


async def settle(unit: Unit, run: Run) -> None:
    """Leave a valid log behind a run that ends without its executor. The conversation is locked."""
    found = await load(unit, run)
    prompt = run.input.get("prompt") if run.checkpoints == 0 else None
    journal = await unit.journal.of_run(run.id)
    await unit.journal.close(run.id, "unknown")
    closing = close(found.messages, journal, prompt, step=step_of(found.messages, run.id))
    if closing or found.record.deferred_tool_requests is not None:
        log = ConversationLog(unit.connection, unit.workspace_id, run_id=run.id)
        await log.append(
            found.record,
            closing,
            [new_id() for _ in closing],
            usage=found.record.usage,
            deferred=None,
            stored=found.stored,
        )
