"""Example documents of the OpenAPI document. A test reads each with the model that it stands for."""

from http import HTTPStatus
from typing import Any

from app.api.problems import errors

ID = "0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11"
OTHER = "0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a12"
RUN_ID = "0199f0c3-0d4e-7a51-9c63-2b7e1d5f8a90"
AT = "2026-11-21T09:00:00Z"

USAGE: dict[str, Any] = {
    "requests": 1,
    "tool_calls": 0,
    "input_tokens": 42,
    "output_tokens": 9,
    "total_tokens": 51,
    "cost_usd": None,
}
USAGE_REPORT: dict[str, Any] = {
    "runs": 2,
    "usage": USAGE,
    "models": [{"model": "openai:gpt-6.1-terra", "runs": 2, "usage": USAGE}],
}
CONVERSATION: dict[str, Any] = {
    "id": ID,
    "pattern_type": "chatbot",
    "agent": "assistant",
    "title": "Capitals of Europe",
    "context_data": {},
    "context_version": 0,
    "context_schema": None,
    "context_changes": "propose",
    "client_tools": [],
    "taint": [],
    "status": "idle",
    "active_run_id": None,
    "user_id": "owner",
    "targets": [],
    "usage": USAGE,
    "forked_from": None,
    "created_at": AT,
    "updated_at": AT,
}
MESSAGE: dict[str, Any] = {
    "id": OTHER,
    "role": "assistant",
    "content": "The capital of France is Paris.",
    "parts": [{"type": "text", "text": "The capital of France is Paris."}],
    "status": "completed",
    "run_id": RUN_ID,
    "created_at": AT,
}
TURN: dict[str, Any] = {
    "run_id": RUN_ID,
    "conversation_id": ID,
    "status": "completed",
    "message": {"id": OTHER, "role": "assistant", "content": "The capital of France is Paris."},
    "data": None,
    "usage": USAGE,
    "model": "openai:gpt-6.1-terra",
    "approvals": [],
    "tool_calls": [],
    "error": None,
    "steered": False,
}
APPROVAL: dict[str, Any] = {
    "id": OTHER,
    "run_id": RUN_ID,
    "conversation_id": ID,
    "kind": "tool_call",
    "status": "pending",
    "decisions": ["approve", "deny", "edit"],
    "tool": "http_post",
    "tool_call_id": "call_1",
    "arguments": {"target": "crm", "body": {"note": "Called back"}},
    "arguments_hash": "5f2b…",
    "reason": "A person is asked before anything is posted.",
    "taint": [],
    "decision": None,
    "decided_arguments": None,
    "note": None,
    "decided_by": None,
    "decided_at": None,
    "expires_at": "2026-12-05T09:00:00Z",
    "created_at": AT,
}
WAITING_TURN: dict[str, Any] = {**TURN, "status": "waiting", "message": None, "approvals": [APPROVAL]}
DECIDED: dict[str, Any] = {
    **APPROVAL,
    "status": "approved",
    "decisions": [],
    "decision": "approve",
    "note": "Looks right.",
    "decided_by": "user:owner",
    "decided_at": AT,
}
TASK: dict[str, Any] = {
    "id": ID,
    "task_type": "delegation",
    "status": "completed",
    "agent": "delegate",
    "title": None,
    "prompt": "Research the latest trends in AI and write a summary",
    "files": [],
    "output_schema": None,
    "context_data": {},
    "notification_config": {"channels": ["email"], "email_address": "user@example.com"},
    "targets": [],
    "grants": {"send_to": [], "label_mail": False},
    "limits": {},
    "model": None,
    "options": {},
    "overrides": {},
    "user_id": "owner",
    "schedule_expression": None,
    "schedule": None,
    "description": None,
    "timezone": None,
    "next_run_at": None,
    "runs_made": 0,
    "failure_streak": 0,
    "paused_at": None,
    "paused_by": None,
    "pause_reason": None,
    "trigger_config": None,
    "webhook_url": None,
    "depends_on": None,
    "last_run_id": RUN_ID,
    "last_run_status": "completed",
    "result": "Three trends stand out: …",
    "error": None,
    "usage": USAGE,
    "created_at": AT,
    "updated_at": AT,
}
NEW_TASK: dict[str, Any] = {
    **TASK,
    "status": "queued",
    "last_run_status": "queued",
    "result": None,
    "webhook_secret": None,
}
DISABLED_TASK: dict[str, Any] = {**TASK, "status": "disabled"}
EXECUTION: dict[str, Any] = {"run_id": RUN_ID, "status_url": f"/runs/{RUN_ID}"}
RUN: dict[str, Any] = {
    "id": RUN_ID,
    "status": "completed",
    "status_reason": None,
    "status_detail": None,
    "waiting_on": None,
    "conversation_id": ID,
    "task_id": None,
    "pattern_type": "chatbot",
    "agent": "assistant",
    "agent_version": "3f9a1c20b7de",
    "model": "openai:gpt-6.1-terra",
    "trigger": "message",
    "attempt": 1,
    "user_id": "owner",
    "result": "The capital of France is Paris.",
    "error": None,
    "usage": USAGE,
    "context": {
        "policy": "summarise",
        "messages": 3,
        "left_out": 0,
        "summary_id": None,
        "tokens_estimated": 420,
        "window_tokens": 128000,
    },
    "total_usage": USAGE,
    "parent_run_id": None,
    "cancel_requested_at": None,
    "created_at": AT,
    "started_at": AT,
    "completed_at": AT,
}
KEY: dict[str, Any] = {
    "id": ID,
    "name": "ci",
    "prefix": "sl_abcdefghijklmnopqrstuvwxyz",
    "scopes": ["runs:read"],
    "user_id": "owner",
    "user_bound": False,
    "expires_at": "2027-02-19T09:00:00Z",
    "revoked_at": None,
    "last_used_at": None,
    "created_at": AT,
}
KEY_CREATED: dict[str, Any] = {**KEY, "key": "sl_abcdefghijklmnopqrstuvwxyz_…_1a2b3c4d"}
PROCESS: dict[str, Any] = {
    "id": "worker-host-4711-a1b2c3",
    "role": "worker",
    "version": "0.1.0",
    "host": "host",
    "pid": 4711,
    "load": {"runs": 3},
    "started_at": AT,
    "heartbeat_at": AT,
}
INFO: dict[str, Any] = {
    "version": "0.1.0",
    "mode": "local",
    "model": {"name": "demo", "because": "no model is configured"},
    "limits": {"max_body_bytes": 1048576, "page": 200},
    "patterns": ["chatbot", "delegation"],
    "tools": ["current_time", "calculator"],
    "events": ["run.queued", "run.started"],
    "processes": [PROCESS],
}
STREAM = (
    'id: 1\nevent: run.started\ndata: {"type":"run.started","seq":1, …}\n\n'
    'id: 2\nevent: message.delta\ndata: {"type":"message.delta","seq":2,"text":"The capital", …}\n\n'
)


def page(*items: dict[str, Any]) -> dict[str, Any]:
    """One page of examples."""
    return {"data": list(items), "has_more": False, "next_cursor": None}


def answers(status: int, example: Any, *failures: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: its answer with an example, and its problems beside the ordinary ones."""
    shown = {"description": HTTPStatus(status).phrase, "content": {"application/json": {"example": example}}}
    return {status: shown, **errors(*failures)}


def streamed(responses: dict[int | str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    """The same responses, with the stream of events that a 200 may be."""
    content = {**responses.get(200, {}).get("content", {}), "text/event-stream": {"example": STREAM}}
    return {**responses, 200: {"description": "OK", "content": content}}
