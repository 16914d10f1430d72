"""Tasks and what makes their runs: due times and webhooks."""

from sqlalchemy import (
    ARRAY,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.database.models.columns import EMPTY, NO_ROWS, at, metadata, of_workspace, pair, tenant, uuid

tasks = Table(
    "tasks",
    metadata,
    of_workspace(),
    uuid("id"),
    uuid("user_id"),
    Column("pattern", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("title", Text),
    Column("prompt", Text, nullable=False),
    Column("context_data", JSONB, nullable=False, server_default=EMPTY),
    Column("notification_config", JSONB, nullable=False, server_default=EMPTY),
    Column("targets", JSONB, nullable=False, server_default=NO_ROWS),
    Column("grants", JSONB, nullable=False, server_default=EMPTY),
    Column("limits", JSONB, nullable=False, server_default=EMPTY),
    Column("model", Text),
    Column("output_schema", JSONB(none_as_null=True)),
    Column("options", JSONB, nullable=False, server_default=EMPTY),
    Column("files", ARRAY(Uuid(as_uuid=True)), nullable=False, server_default=text("'{}'")),
    Column("schedule", JSONB(none_as_null=True)),
    at("next_due_at"),
    at("next_fire_at"),
    Column("runs_made", Integer, nullable=False, server_default=text("0")),
    at("finished_at"),
    at("paused_at"),
    Column("paused_by", Text),
    Column("pause_reason", Text),
    Column("failure_streak", Integer, nullable=False, server_default=text("0")),
    Column("trigger", JSONB(none_as_null=True)),
    uuid("after_task_id", nullable=True),
    Column("after_on", Text),
    uuid("last_run_id", nullable=True),
    at("disabled_at"),
    at("deleted_at"),
    at("created_at", nullable=False, default=True),
    at("updated_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("id"),
    pair("user_id", "users", ondelete="CASCADE"),
)
Index(
    "ix_tasks_next_fire_at",
    tasks.c.next_fire_at,
    postgresql_where=tasks.c.next_fire_at.is_not(None) & tasks.c.deleted_at.is_(None),
)
Index(
    "ix_tasks_after",
    tasks.c.workspace_id,
    tasks.c.after_task_id,
    postgresql_where=tasks.c.after_task_id.is_not(None),
)

occurrences = Table(
    "occurrences",
    metadata,
    tenant(),
    uuid("id"),
    uuid("task_id"),
    at("due_at", nullable=False),
    at("fire_at", nullable=False),
    Column("kind", Text, nullable=False, server_default=text("'schedule'")),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    uuid("run_id", nullable=True),
    at("recorded_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "task_id", "due_at"),
    pair("task_id", "tasks", ondelete="CASCADE"),
)
Index("ix_occurrences_recorded_at", occurrences.c.recorded_at)
Index(
    "uq_occurrences_waiting",
    occurrences.c.workspace_id,
    occurrences.c.task_id,
    unique=True,
    postgresql_where=occurrences.c.outcome == "waiting",
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    tenant(),
    uuid("id"),
    uuid("task_id"),
    Column("sealed", LargeBinary, nullable=False),
    Column("hint", Text, nullable=False),
    at("expires_at"),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    pair("task_id", "tasks", ondelete="CASCADE"),
)
Index("ix_webhook_secrets_task", webhook_secrets.c.workspace_id, webhook_secrets.c.task_id)

inbound_events = Table(
    "inbound_events",
    metadata,
    tenant(),
    uuid("id"),
    uuid("task_id"),
    Column("dedup_key", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("content_type", Text),
    Column("headers", JSONB, nullable=False, server_default=EMPTY),
    Column("scheme", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    uuid("run_id", nullable=True),
    uuid("replay_of", nullable=True),
    at("received_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "task_id", "dedup_key"),
    pair("task_id", "tasks", ondelete="CASCADE"),
)
Index("ix_inbound_events_received_at", inbound_events.c.received_at)
Index(
    "ix_inbound_events_held",
    inbound_events.c.workspace_id,
    inbound_events.c.task_id,
    postgresql_where=inbound_events.c.outcome == "held",
)
