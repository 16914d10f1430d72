"""Example documents of the webhook doors. A test reads each with the model that it stands for."""

from typing import Any

from app.api.examples import AT, ID, OTHER, RUN_ID

ACCEPTED: dict[str, Any] = {
    "delivery_id": OTHER,
    "outcome": "accepted",
    "run_id": RUN_ID,
    "status_url": f"/runs/{RUN_ID}",
    "reason": None,
    "duplicate": False,
}
DUPLICATE: dict[str, Any] = {**ACCEPTED, "reason": "The same event had come before.", "duplicate": True}
REPLAYED: dict[str, Any] = {**ACCEPTED, "outcome": "replayed", "reason": "Replayed by local."}
SECRET: dict[str, Any] = {
    "webhook_secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "webhook_url": f"http://localhost:8000/tasks/webhooks/{ID}",
    "previous_expires_at": AT,
}
EVENT: dict[str, Any] = {
    "id": OTHER,
    "task_id": ID,
    "outcome": "accepted",
    "reason": None,
    "run_id": RUN_ID,
    "replay_of": None,
    "dedup_key": "id:msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
    "scheme": "standard",
    "content_type": "application/json",
    "size": 26,
    "received_at": AT,
}
WHOLE_EVENT: dict[str, Any] = {
    **EVENT,
    "headers": {"content-type": "application/json", "webhook-id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"},
    "body": '{"event": "data_received"}',
    "body_cut": False,
}
TRIED: dict[str, Any] = {
    "verdict": "unsigned",
    "scheme": "standard",
    "filter": [{"path": "$.action", "test": "equals", "found": "opened", "holds": True}],
    "filtered": False,
    "duplicate": False,
    "dedup_key": "id:msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
    "variables": {"customer": "C-4711"},
    "prompt": "Greet Ada.\n\nThe event, as data:\n<webhook_payload>\n{}\n</webhook_payload>",
    "would_run": True,
}
