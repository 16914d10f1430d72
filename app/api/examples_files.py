"""Example documents of files."""

from typing import Any

from app.api.examples import AT, ID

FILE: dict[str, Any] = {
    "id": ID,
    "name": "contract.pdf",
    "media_type": "application/pdf",
    "size": 48213,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "run_id": None,
    "user_id": "owner",
    "content_url": f"/files/{ID}/content",
    "created_at": AT,
}
RUN_FILE: dict[str, Any] = {**FILE, "role": "input"}
