"""Example documents of the notifications. A test reads each with the model that it stands for."""

from typing import Any

from app.api.examples import AT, ID, OTHER, RUN_ID

DELIVERY: dict[str, Any] = {
    "id": OTHER,
    "event": "run.completed",
    "channel": "email",
    "target": "user@example.com",
    "status": "sent",
    "status_reason": None,
    "status_detail": None,
    "subject": "Morning report: done",
    "task_id": ID,
    "run_id": RUN_ID,
    "user_id": "owner",
    "attempts": 1,
    "due_at": None,
    "digest_id": None,
    "fallback_of": None,
    "resend_of": None,
    "created_at": AT,
    "ended_at": AT,
}
DELIVERY_DETAIL: dict[str, Any] = {
    **DELIVERY,
    "tries": [
        {
            "number": 1,
            "outcome": "sent",
            "code": "250",
            "detail": None,
            "snippet": "OK",
            "seconds": 0.212,
            "started_at": AT,
        }
    ],
    "preview": {
        "subject": "Morning report: done",
        "text": "All is well.",
        "html": "<p>All is well.</p>",
        "body": None,
    },
}
RESENT: dict[str, Any] = {
    **DELIVERY,
    "id": RUN_ID,
    "status": "pending",
    "attempts": 0,
    "due_at": AT,
    "resend_of": OTHER,
    "ended_at": None,
}
SIGNING_SECRET: dict[str, Any] = {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
