"""The tables of the ledger. Every tenant table has the key (workspace_id, id) and every reference is the pair."""

from app.database.models.columns import metadata
from app.database.models.connections import approval_links, connections, identities, mail_sends, oauth_states
from app.database.models.conversations import agents, conversations, entries, notes, own_agents, steering
from app.database.models.deliveries import deliveries, delivery_attempts
from app.database.models.files import file_pieces, files, run_files
from app.database.models.runs import approvals, awaited_calls, run_events, run_results, runs, sources, tool_calls
from app.database.models.slack import slack_messages, slack_receipts, slack_threads
from app.database.models.tasks import inbound_events, occurrences, tasks, webhook_secrets
from app.database.models.tenants import api_keys, app_clock, idempotency_keys, processes, users, workspaces

__all__ = [
    "agents",
    "api_keys",
    "app_clock",
    "approval_links",
    "approvals",
    "awaited_calls",
    "connections",
    "conversations",
    "deliveries",
    "delivery_attempts",
    "entries",
    "file_pieces",
    "files",
    "idempotency_keys",
    "identities",
    "inbound_events",
    "mail_sends",
    "metadata",
    "notes",
    "oauth_states",
    "occurrences",
    "own_agents",
    "processes",
    "run_events",
    "run_files",
    "run_results",
    "runs",
    "slack_messages",
    "slack_receipts",
    "slack_threads",
    "sources",
    "steering",
    "tasks",
    "tool_calls",
    "users",
    "webhook_secrets",
    "workspaces",
]
