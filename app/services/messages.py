"""A conversation's log as clients read it: one item per prompt and per response."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from app.database.stores.entries import ConversationLog, upcast
from app.database.unit import Unit
from app.models.conversation import Entry, MessageOut
from app.models.run import Run
from app.models.steering import Steering

Parts = list[dict[str, Any]]


async def listed(unit: Unit, conversation_id: UUID) -> list[MessageOut]:
    """Every message of the conversation, the oldest first, then the inputs of runs that wait for their turn."""
    log = ConversationLog(unit.connection, unit.workspace_id)
    items = items_of(await log.entries(conversation_id))
    active = await unit.runs.active_of(conversation_id)
    unread = await unit.steering.undelivered([run.id for run in active]) if active else []
    return [*items, *pending(active[:1]), *unread_by_runs(unread), *pending(active[1:])]


def unread_by_runs(messages: Sequence[Steering]) -> list[MessageOut]:
    """Messages for active runs that those have not been given yet; each has its own id until it stands in the log."""
    return [
        MessageOut(
            id=message.id,
            role="user",
            content=message.text,
            parts=[{"type": "text", "text": message.text}],
            status="pending",
            run_id=message.run_id,
            created_at=message.created_at,
        )
        for message in messages
    ]


def pending(active: Sequence[Run]) -> list[MessageOut]:
    """The prompts that are not part of the log yet; each has its run's id until it is."""
    return [
        MessageOut(
            id=run.id,
            role="user",
            content=str(run.input["prompt"]),
            parts=[{"type": "text", "text": str(run.input["prompt"])}],
            status="pending",
            run_id=run.id,
            created_at=run.created_at,
        )
        for run in active
        if run.checkpoints == 0 and run.input.get("prompt") is not None
    ]


def items_of(entries: Iterable[Entry]) -> list[MessageOut]:
    """Log entries as items; what tools answered stands with the response that called them."""
    items: list[MessageOut] = []
    for entry in entries:
        message = upcast(entry.message, entry.format)
        parts = cast("Parts", message.get("parts") or [])
        if message.get("kind") == "response":
            items.append(_item(entry, "assistant", [shown for part in parts if (shown := _response_part(part))]))
            continue
        results = [shown for part in parts if (shown := _result_part(part))]
        if results and items and items[-1].role == "assistant":
            items[-1].parts.extend(results)
        prompts = [shown for part in parts if part.get("part_kind") == "user-prompt" for shown in _prompt_parts(part)]
        if prompts:
            items.append(_item(entry, "user", prompts))
    return items


def _item(entry: Entry, role: Any, parts: Parts) -> MessageOut:
    return MessageOut(
        id=entry.id,
        role=role,
        content="".join(str(part["text"]) for part in parts if part["type"] == "text"),
        parts=parts,
        status="completed",
        run_id=entry.run_id,
        created_at=entry.created_at,
    )


def _response_part(part: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = part.get("part_kind")
    if kind == "text":
        return {"type": "text", "text": part.get("content") or ""}
    if kind == "tool-call":
        return {
            "type": "tool_call",
            "tool_call_id": part.get("tool_call_id"),
            "tool": part.get("tool_name"),
            "arguments": part.get("args"),
        }
    return None


def _result_part(part: Mapping[str, Any]) -> dict[str, Any] | None:
    if part.get("part_kind") not in ("tool-return", "retry-prompt") or not part.get("tool_name"):
        return None
    failed = part.get("part_kind") == "retry-prompt" or part.get("outcome") not in (None, "success")
    return {
        "type": "tool_result",
        "tool_call_id": part.get("tool_call_id"),
        "tool": part.get("tool_name"),
        "status": "failed" if failed else "ok",
        "content": part.get("content"),
    }


def _prompt_parts(part: Mapping[str, Any]) -> Parts:
    content = part.get("content")
    pieces = cast("list[Any]", content) if isinstance(content, list) else [content]
    return [shown for piece in pieces if (shown := _prompt_piece(piece))]


def _prompt_piece(piece: Any) -> dict[str, Any] | None:
    """What was said, or of a document that went along which one it was."""
    if isinstance(piece, str):
        return {"type": "text", "text": piece}
    about = cast("dict[str, Any]", piece).get("metadata") if isinstance(piece, dict) else None
    if not isinstance(about, dict) or "file_id" not in about:
        return None
    named = cast("dict[str, Any]", about)
    return {"type": "file", "file_id": named["file_id"] or None, "name": named.get("name")}
