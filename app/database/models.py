"""The tables of the ledger. Every tenant table has the key (workspace_id, id) and every reference is the pair."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

NOW = text("app_now()")
EMPTY = text("'{}'::jsonb")
NO_ROWS = text("'[]'::jsonb")


def _id(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, Uuid(as_uuid=True), nullable=nullable)


def _at(name: str, *, nullable: bool = True, default: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=NOW if default else None)


def _tenant() -> Column[object]:
    """The workspace of a row whose parent row names the workspace too; a second check would only cost locks."""
    return Column("workspace_id", Uuid(as_uuid=True), nullable=False)


def _of_workspace() -> Column[object]:
    return Column("workspace_id", Uuid(as_uuid=True), ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False)


def _pair(column: str, table: str, *, ondelete: str | None = None) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["workspace_id", column], [f"{table}.workspace_id", f"{table}.id"], ondelete=ondelete)


app_clock = Table(
    "app_clock",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("offset_by", Interval, nullable=False, server_default=text("'0'::interval")),
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Uuid(as_uuid=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    _at("created_at", nullable=False, default=True),
)

users = Table(
    "users",
    metadata,
    _of_workspace(),
    _id("id"),
    Column("external_id", Text, nullable=False),
    Column("is_owner", Boolean, nullable=False, server_default=text("false")),
    _at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "external_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    _of_workspace(),
    _id("id"),
    _id("user_id"),
    Column("user_bound", Boolean, nullable=False, server_default=text("false")),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    _at("expires_at"),
    _at("revoked_at"),
    _at("last_used_at"),
    _at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("id"),
    _pair("user_id", "users", ondelete="CASCADE"),
)

agents = Table(
    "agents",
    metadata,
    _of_workspace(),
    _id("id"),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("definition", JSONB, nullable=False),
    _at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "name", "version"),
)

conversations = Table(
    "conversations",
    metadata,
    _of_workspace(),
    _id("id"),
    _id("user_id"),
    Column("pattern", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("title", Text),
    Column("context_data", JSONB, nullable=False, server_default=EMPTY),
    Column("targets", JSONB, nullable=False, server_default=NO_ROWS),
    _id("head_id", nullable=True),
    _id("revision", nullable=True),
    Column("usage", JSONB, nullable=False, server_default=EMPTY),
    Column("deferred", JSONB(none_as_null=True)),
    Column("branches", ARRAY(Uuid(as_uuid=True)), nullable=False, server_default=text("'{}'")),
    _id("forked_from", nullable=True),
    _id("forked_at", nullable=True),
    _at("created_at", nullable=False, default=True),
    _at("updated_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    _pair("user_id", "users", ondelete="CASCADE"),
)
Index(
    "ix_conversations_forked_from",
    conversations.c.workspace_id,
    conversations.c.forked_from,
    postgresql_where=conversations.c.forked_from.is_not(None),
)

entries = Table(
    "entries",
    metadata,
    _tenant(),
    _id("id"),
    _id("parent_id", nullable=True),
    _id("run_id", nullable=True),
    Column("kind", Text, nullable=False, server_default=text("'message'")),
    Column("format", SmallInteger, nullable=False),
    Column("message", JSONB, nullable=False),
    _at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
)

tasks = Table(
    "tasks",
    metadata,
    _of_workspace(),
    _id("id"),
    _id("user_id"),
    Column("pattern", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("title", Text),
    Column("prompt", Text, nullable=False),
    Column("context_data", JSONB, nullable=False, server_default=EMPTY),
    Column("notification_config", JSONB, nullable=False, server_default=EMPTY),
    Column("targets", JSONB, nullable=False, server_default=NO_ROWS),
    Column("limits", JSONB, nullable=False, server_default=EMPTY),
    Column("model", Text),
    _id("last_run_id", nullable=True),
    _at("disabled_at"),
    _at("deleted_at"),
    _at("created_at", nullable=False, default=True),
    _at("updated_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    _pair("user_id", "users", ondelete="CASCADE"),
)

runs = Table(
    "runs",
    metadata,
    _tenant(),
    _id("id"),
    _id("conversation_id"),
    _id("task_id", nullable=True),
    _id("user_id"),
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
    _at("available_at", nullable=False, default=True),
    Column("holds_conversation", Boolean, nullable=False, server_default=text("false")),
    Column("lease_owner", Text),
    _at("lease_until"),
    Column("fence", Integer, nullable=False, server_default=text("0")),
    Column("attempt", SmallInteger, nullable=False, server_default=text("0")),
    Column("max_attempts", SmallInteger, nullable=False),
    Column("checkpoints", Integer, nullable=False, server_default=text("0")),
    Column("last_seq", Integer, nullable=False, server_default=text("0")),
    _at("cancel_requested_at"),
    _id("parent_run_id", nullable=True),
    _id("root_run_id", nullable=True),
    Column("trigger", Text, nullable=False),
    Column("input", JSONB, nullable=False),
    Column("limits", JSONB, nullable=False, server_default=EMPTY),
    Column("taint", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("streamed", Boolean, nullable=False, server_default=text("false")),
    Column("usage", JSONB, nullable=False, server_default=EMPTY),
    Column("created_by", Text, nullable=False),
    _at("created_at", nullable=False, default=True),
    _at("started_at"),
    _at("completed_at"),
    PrimaryKeyConstraint("workspace_id", "id"),
    _pair("conversation_id", "conversations", ondelete="CASCADE"),
    _pair("task_id", "tasks"),
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
Index("ix_runs_conversation", runs.c.workspace_id, runs.c.conversation_id, runs.c.id)
Index("ix_runs_task", runs.c.workspace_id, runs.c.task_id, runs.c.id, postgresql_where=runs.c.task_id.is_not(None))

run_results = Table(
    "run_results",
    metadata,
    _tenant(),
    _id("run_id"),
    Column("text", Text),
    Column("data", JSONB(none_as_null=True)),
    Column("error", JSONB(none_as_null=True)),
    _id("entry_id", nullable=True),
    _at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "run_id"),
    _pair("run_id", "runs", ondelete="CASCADE"),
)

tool_calls = Table(
    "tool_calls",
    metadata,
    _tenant(),
    _id("run_id"),
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
    _at("started_at", nullable=False, default=True),
    _at("finished_at"),
    PrimaryKeyConstraint("workspace_id", "run_id", "step", "tool_call_id"),
    _pair("run_id", "runs", ondelete="CASCADE"),
)

run_events = Table(
    "run_events",
    metadata,
    _tenant(),
    _id("run_id"),
    Column("first_seq", Integer, nullable=False),
    Column("last_seq", Integer, nullable=False),
    Column("events", JSONB, nullable=False),
    PrimaryKeyConstraint("workspace_id", "run_id", "first_seq"),
    _pair("run_id", "runs", ondelete="CASCADE"),
)

approvals = Table(
    "approvals",
    metadata,
    _tenant(),
    _id("id"),
    _id("run_id"),
    _id("conversation_id"),
    _id("user_id"),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'pending'")),
    Column("tool", Text, nullable=False),
    Column("tool_call_id", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("arguments", JSONB, nullable=False),
    Column("arguments_hash", Text, nullable=False),
    Column("decision", Text),
    Column("decided_arguments", JSONB(none_as_null=True)),
    Column("note", Text),
    Column("decided_by", Text),
    _at("decided_at"),
    _at("expires_at", nullable=False),
    _at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    _pair("run_id", "runs", ondelete="CASCADE"),
)
Index("ix_approvals_run", approvals.c.workspace_id, approvals.c.run_id)
Index(
    "ix_approvals_pending",
    approvals.c.workspace_id,
    approvals.c.user_id,
    approvals.c.id,
    postgresql_where=approvals.c.status == "pending",
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _tenant(),
    Column("principal", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("key", String(255), nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    _id("object_id"),
    _at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "principal", "route", "key"),
)
Index("ix_idempotency_keys_created_at", idempotency_keys.c.created_at)

notes = Table(
    "notes",
    metadata,
    _tenant(),
    _id("id"),
    _id("user_id"),
    Column("key", Text, nullable=False),
    Column("text", Text, nullable=False),
    _at("created_at", nullable=False, default=True),
    _at("updated_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "user_id", "key"),
    _pair("user_id", "users", ondelete="CASCADE"),
)

processes = Table(
    "processes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("load", JSONB, nullable=False, server_default=EMPTY),
    _at("started_at", nullable=False, default=True),
    _at("heartbeat_at", nullable=False, default=True),
)
