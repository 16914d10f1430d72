"""Examples of the context of conversations, and of what clients answer."""

from typing import Any

CONTEXT: dict[str, Any] = {"context_data": {"order": {"id": 17, "status": "paid"}}, "version": 3}
