"""An agent's context for tests that need no ledger."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from app.agents.context import AgentContext, Target
from app.integrations.http import OutboundGuard

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class MemoryNotes:
    """Notes in a dict, with the meaning of the stored ones."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def remember(self, key: str, text: str) -> None:
        self.kept[key] = text

    async def recall(self, query: str) -> list[dict[str, Any]]:
        words = query.lower().split()
        found = [
            (key, text)
            for key, text in self.kept.items()
            if not words or any(word in f"{key} {text}".lower() for word in words)
        ]
        return [{"key": key, "text": text} for key, text in found]

    async def forget(self, key: str) -> bool:
        return self.kept.pop(key, None) is not None


def agent_context(
    *,
    targets: tuple[Target, ...] = (),
    allow_hosts: tuple[str, ...] = (),
    notes: MemoryNotes | None = None,
    prompt: str = "",
    taint: set[str] | None = None,
    pattern: str = "chatbot",
    **more: Any,
) -> AgentContext:
    """A context at noon, with an own guard and notes in memory."""
    run_id = uuid4()
    return AgentContext(
        run_id=run_id,
        conversation_id=uuid4(),
        workspace_id=UUID(int=1),
        user_id=UUID(int=2),
        pattern=pattern,
        attempt=1,
        notes=notes or MemoryNotes(),
        outbound=OutboundGuard(allow_hosts),
        now=lambda: NOON,
        effect_key=lambda call: f"{run_id}:1:{call}",
        targets=targets,
        taint=taint if taint is not None else set(),
        prompt=prompt,
        **more,
    )
