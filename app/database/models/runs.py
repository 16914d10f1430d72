"""Runs with their results, journal, events, approvals, and the calls that others answer."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.database.models.columns import EMPTY, at, metadata, pair, tenant, uuid

runs = Table(
    "runs",
    metadata,
    tenant(),
    uuid("id"),
    uuid("conversation_id"),
    uuid("task_id", nullable=True),
    uuid("user_id"),
    Column("pattern", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("agent_version", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False, server_default=text("0")),
    Column("status", Text, nullable=False),
    Column("status_reason", Text),
    Column("status_detail", Text),
    Column("waiting_on", JSONB(none_as_null=True)),
    at("available_at", nullable=False, default=True),
    Column("holds_conversation", Boolean, nullable=False, server_default=text("false")),
    Column("lease_owner", Text),
    at("lease_until"),
    Column("fence", Integer, nullable=False, server_default=text("0")),
    Column("attempt", SmallInteger, nullable=False, server_default=text("0")),
    Column("max_attempts", SmallInteger, nullable=False),
    Column("checkpoints", Integer, nullable=False, server_default=text("0")),
    Column("last_seq", Integer, nullable=False, server_default=text("0")),
    at("cancel_requested_at"),
    uuid("parent_run_id", nullable=True),
    uuid("root_run_id", nullable=True),
    Column("trigger", Text, nullable=False),
    Column("input", JSONB, nullable=False),
    Column("limits", JSONB, nullable=False, server_default=EMPTY),
    Column("taint", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("streamed", Boolean, nullable=False, server_default=text("false")),
    Column("usage", JSONB, nullable=False, server_default=EMPTY),
    Column("state", JSONB(none_as_null=True)),
    Column("created_by", Text, nullable=False),
    at("created_at", nullable=False, default=True),
    at("started_at"),
    at("completed_at"),
    at("settled_at"),
    PrimaryKeyConstraint("workspace_id", "id"),
    pair("conversation_id", "conversations", ondelete="CASCADE"),
    pair("task_id", "tasks"),
)
Index(
    "uq_runs_holder",
    runs.c.workspace_id,
    runs.c.conversation_id,
    unique=True,
    postgresql_where=runs.c.holds_conversation,
)
Index(
    "ix_runs_queue",
    runs.c.lane,
    runs.c.workspace_id,
    runs.c.user_id,
    runs.c.priority.desc(),
    runs.c.id,
    postgresql_where=(runs.c.status == "queued") & (runs.c.available_at != text("'infinity'")),
)
Index(
    "ix_runs_running",
    runs.c.lane,
    runs.c.workspace_id,
    runs.c.user_id,
    postgresql_where=runs.c.status == "running",
)
Index(
    "ix_runs_unsettled",
    runs.c.completed_at,
    postgresql_where=(runs.c.task_id.is_not(None) | runs.c.trigger.in_(("slack", "sub_run")))
    & runs.c.completed_at.is_not(None)
    & runs.c.settled_at.is_(None),
)
Index(
    "uq_runs_agent_run",
    runs.c.workspace_id,
    runs.c.user_id,
    unique=True,
    postgresql_where=(runs.c.trigger == "agent_run") & runs.c.status.in_(("queued", "running", "waiting")),
)
Index(
    "ix_runs_parent",
    runs.c.workspace_id,
    runs.c.parent_run_id,
    postgresql_where=runs.c.parent_run_id.is_not(None),
)
Index("ix_runs_conversation", runs.c.workspace_id, runs.c.conversation_id, runs.c.id)
Index("ix_runs_task", runs.c.workspace_id, runs.c.task_id, runs.c.id, postgresql_where=runs.c.task_id.is_not(None))

run_results = Table(
    "run_results",
    metadata,
    tenant(),
    uuid("run_id"),
    Column("text", Text),
    Column("data", JSONB(none_as_null=True)),
    Column("error", JSONB(none_as_null=True)),
    uuid("entry_id", nullable=True),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "run_id"),
    pair("run_id", "runs", ondelete="CASCADE"),
)

tool_calls = Table(
    "tool_calls",
    metadata,
    tenant(),
    uuid("run_id"),
    Column("step", Integer, nullable=False),
    Column("tool_call_id", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("arguments", JSONB, nullable=False),
    Column("effect", Boolean, nullable=False),
    Column("repeatable", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("result", JSONB(none_as_null=True)),
    Column("usage", JSONB(none_as_null=True)),
    Column("fence", Integer, nullable=False),
    at("started_at", nullable=False, default=True),
    at("finished_at"),
    PrimaryKeyConstraint("workspace_id", "run_id", "step", "tool_call_id"),
    pair("run_id", "runs", ondelete="CASCADE"),
)

run_events = Table(
    "run_events",
    metadata,
    tenant(),
    uuid("run_id"),
    Column("first_seq", Integer, nullable=False),
    Column("last_seq", Integer, nullable=False),
    Column("events", JSONB, nullable=False),
    PrimaryKeyConstraint("workspace_id", "run_id", "first_seq"),
    pair("run_id", "runs", ondelete="CASCADE"),
)

approvals = Table(
    "approvals",
    metadata,
    tenant(),
    uuid("id"),
    uuid("run_id"),
    uuid("conversation_id"),
    uuid("user_id"),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'pending'")),
    Column("tool", Text, nullable=False),
    Column("tool_call_id", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("arguments", JSONB, nullable=False),
    Column("arguments_hash", Text, nullable=False),
    Column("reason", Text),
    Column("taint", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("decision", Text),
    Column("decided_arguments", JSONB(none_as_null=True)),
    Column("note", Text),
    Column("decided_by", Text),
    at("decided_at"),
    at("announced_at"),
    at("expires_at", nullable=False),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    pair("run_id", "runs", ondelete="CASCADE"),
)
Index("ix_approvals_run", approvals.c.workspace_id, approvals.c.run_id)
Index(
    "ix_approvals_pending",
    approvals.c.workspace_id,
    approvals.c.user_id,
    approvals.c.id,
    postgresql_where=approvals.c.status == "pending",
)
Index(
    "ix_approvals_unannounced",
    approvals.c.workspace_id,
    approvals.c.run_id,
    postgresql_where=(approvals.c.status == "pending") & approvals.c.announced_at.is_(None),
)

awaited_calls = Table(
    "awaited_calls",
    metadata,
    tenant(),
    uuid("run_id"),
    Column("step", Integer, nullable=False),
    Column("tool_call_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("arguments", JSONB, nullable=False),
    uuid("child_run_id", nullable=True),
    Column("status", Text, nullable=False, server_default=text("'pending'")),
    Column("outcome", JSONB(none_as_null=True)),
    Column("answered_by", Text),
    at("answered_at"),
    at("expires_at"),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "run_id", "step", "tool_call_id"),
    pair("run_id", "runs", ondelete="CASCADE"),
)
Index(
    "ix_awaited_calls_child",
    awaited_calls.c.workspace_id,
    awaited_calls.c.child_run_id,
    postgresql_where=awaited_calls.c.child_run_id.is_not(None),
)
Index(
    "ix_awaited_calls_expires_at",
    awaited_calls.c.expires_at,
    postgresql_where=(awaited_calls.c.status == "pending") & awaited_calls.c.expires_at.is_not(None),
)

sources = Table(
    "sources",
    metadata,
    tenant(),
    uuid("root_run_id"),
    Column("ref", Text, nullable=False),
    uuid("run_id"),
    Column("kind", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("excerpt", Text, nullable=False),
    Column("number", Integer),
    at("fetched_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "root_run_id", "ref"),
    pair("root_run_id", "runs", ondelete="CASCADE"),
)
