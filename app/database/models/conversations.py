"""Agents, conversations with their log, what steers them, and what agents remember."""

from sqlalchemy import (
    ARRAY,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.database.models.columns import EMPTY, NO_ROWS, at, metadata, of_workspace, pair, tenant, uuid

agents = Table(
    "agents",
    metadata,
    of_workspace(),
    uuid("id"),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("definition", JSONB, nullable=False),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "name", "version"),
)

own_agents = Table(
    "own_agents",
    metadata,
    of_workspace(),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    at("archived_at"),
    at("created_at", nullable=False, default=True),
    at("updated_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "name"),
)

conversations = Table(
    "conversations",
    metadata,
    of_workspace(),
    uuid("id"),
    uuid("user_id"),
    Column("pattern", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("title", Text),
    Column("context_data", JSONB, nullable=False, server_default=EMPTY),
    Column("context_version", Integer, nullable=False, server_default=text("0")),
    Column("context_schema", JSONB(none_as_null=True)),
    Column("context_changes", Text, nullable=False, server_default=text("'propose'")),
    Column("client_tools", JSONB, nullable=False, server_default=NO_ROWS),
    Column("targets", JSONB, nullable=False, server_default=NO_ROWS),
    Column("grants", JSONB, nullable=False, server_default=EMPTY),
    Column("taint", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    uuid("head_id", nullable=True),
    uuid("summary_id", nullable=True),
    uuid("revision", nullable=True),
    Column("usage", JSONB, nullable=False, server_default=EMPTY),
    Column("deferred", JSONB(none_as_null=True)),
    Column("branches", ARRAY(Uuid(as_uuid=True)), nullable=False, server_default=text("'{}'")),
    uuid("forked_from", nullable=True),
    uuid("forked_at", nullable=True),
    at("expires_at"),
    at("created_at", nullable=False, default=True),
    at("updated_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    pair("user_id", "users", ondelete="CASCADE"),
)
Index(
    "ix_conversations_forked_from",
    conversations.c.workspace_id,
    conversations.c.forked_from,
    postgresql_where=conversations.c.forked_from.is_not(None),
)

Index(
    "ix_conversations_expires_at",
    conversations.c.expires_at,
    postgresql_where=conversations.c.expires_at.is_not(None),
)

entries = Table(
    "entries",
    metadata,
    tenant(),
    uuid("id"),
    uuid("parent_id", nullable=True),
    uuid("run_id", nullable=True),
    Column("kind", Text, nullable=False, server_default=text("'message'")),
    Column("format", SmallInteger, nullable=False),
    Column("message", JSONB, nullable=False),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
)

Index(
    "ix_entries_summaries",
    entries.c.workspace_id,
    entries.c.parent_id,
    postgresql_where=entries.c.kind == "summary",
)

notes = Table(
    "notes",
    metadata,
    tenant(),
    uuid("id"),
    uuid("user_id"),
    Column("agent", Text, nullable=False, server_default=text("''")),
    Column("key", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("taint", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    uuid("run_id", nullable=True),
    uuid("conversation_id", nullable=True),
    at("created_at", nullable=False, default=True),
    at("updated_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "user_id", "agent", "key"),
    pair("user_id", "users", ondelete="CASCADE"),
)

steering = Table(
    "steering",
    metadata,
    tenant(),
    uuid("id"),
    uuid("run_id"),
    Column("text", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    at("created_at", nullable=False, default=True),
    at("delivered_at"),
    uuid("next_run_id", nullable=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    pair("run_id", "runs", ondelete="CASCADE"),
)
Index("ix_steering_run", steering.c.workspace_id, steering.c.run_id)
