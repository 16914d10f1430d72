"""Example documents of the agent runner."""

from typing import Any

from app.api.examples import AT, RUN_ID

STARTED: dict[str, Any] = {"run_id": RUN_ID, "status": "running"}
AGENT_RUN: dict[str, Any] = {
    "run_id": RUN_ID,
    "agent_type": "document-extractor",
    "user_id": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "status": "completed",
    "result": '{"source":"contract.pdf","title":"Service agreement"}',
    "result_data": {"source": "contract.pdf", "title": "Service agreement"},
    "error": None,
    "started_at": AT,
    "completed_at": AT,
}
