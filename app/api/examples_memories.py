"""Example documents of memories."""

from typing import Any

from app.api.examples import AT, ID, OTHER, RUN_ID

MEMORY: dict[str, Any] = {
    "id": OTHER,
    "user_id": "owner",
    "agent": None,
    "key": "favourite colour",
    "text": "green",
    "taint": [],
    "run_id": RUN_ID,
    "conversation_id": ID,
    "created_at": AT,
    "updated_at": AT,
}
FORGOTTEN: dict[str, Any] = {"deleted": 3}
