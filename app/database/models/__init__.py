"""The tables of the ledger. Every tenant table has the key (workspace_id, id) and every reference is the pair."""

from app.database.models.columns import metadata
from app.database.models.conversations import agents, conversations, entries, notes
from app.database.models.deliveries import deliveries, delivery_attempts
from app.database.models.runs import approvals, run_events, run_results, runs, tool_calls
from app.database.models.tasks import inbound_events, occurrences, tasks, webhook_secrets
from app.database.models.tenants import api_keys, app_clock, idempotency_keys, processes, users, workspaces

__all__ = [
    "agents",
    "api_keys",
    "app_clock",
    "approvals",
    "conversations",
    "deliveries",
    "delivery_attempts",
    "entries",
    "idempotency_keys",
    "inbound_events",
    "metadata",
    "notes",
    "occurrences",
    "processes",
    "run_events",
    "run_results",
    "runs",
    "tasks",
    "tool_calls",
    "users",
    "webhook_secrets",
    "workspaces",
]
