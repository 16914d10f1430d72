"""Example documents of branches."""

from typing import Any

from app.api.examples import AT, ID, OTHER, TURN

TIP: dict[str, Any] = {
    "id": OTHER,
    "role": "assistant",
    "preview": "The capital of France is Paris.",
    "current": True,
    "created_at": AT,
}
BRANCHED: dict[str, Any] = {"from_id": ID, "left_id": OTHER, "turn": TURN}
