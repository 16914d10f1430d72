"""Example documents of the doors to schedules."""

from typing import Any

from app.api.examples import ID, OTHER, RUN_ID, TASK

PREVIEW: dict[str, Any] = {
    "description": "At 02:30 (Europe/Berlin)",
    "occurrences": [
        {"utc": "2027-03-27T01:30:00Z", "local": "2027-03-27T02:30:00+01:00", "note": None},
        {
            "utc": "2027-03-28T01:00:00Z",
            "local": "2027-03-28T03:00:00+02:00",
            "note": "02:30 does not exist on 2027-03-28; fires at 03:00.",
        },
    ],
}
OCCURRENCE: dict[str, Any] = {
    "due_at": "2026-11-21T09:00:00Z",
    "fire_at": "2026-11-21T09:00:00Z",
    "kind": "schedule",
    "outcome": "run",
    "reason": None,
    "run_id": RUN_ID,
    "late_seconds": 0.008,
    "recorded_at": "2026-11-21T09:00:00.008Z",
}
SKIPPED: dict[str, Any] = {
    **OCCURRENCE,
    "due_at": "2026-11-20T09:00:00Z",
    "fire_at": "2026-11-20T09:00:00Z",
    "outcome": "skipped_overlap",
    "reason": f"The run before it ({OTHER}) was still active.",
    "run_id": None,
    "recorded_at": "2026-11-20T09:00:00.008Z",
}
BACKFILL: dict[str, Any] = {
    "dry_run": True,
    "occurrences": [{"due_at": "2026-11-20T09:00:00Z", "outcome": "skipped_overlap", "run_id": None}],
    "has_more": False,
}
PAUSED_TASK: dict[str, Any] = {
    **TASK,
    "id": ID,
    "status": "paused",
    "paused_at": "2026-11-21T09:00:00Z",
    "paused_by": "user:0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a12",
    "pause_reason": "Waiting for the new price list",
}
