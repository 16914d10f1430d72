"""Agents, conversations with their log, and what agents noted."""

from sqlalchemy import (
    ARRAY,
    Column,
    Index,
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
    Column("targets", JSONB, nullable=False, server_default=NO_ROWS),
    Column("grants", JSONB, nullable=False, server_default=EMPTY),
    Column("taint", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    uuid("head_id", nullable=True),
    uuid("revision", nullable=True),
    Column("usage", JSONB, nullable=False, server_default=EMPTY),
    Column("deferred", JSONB(none_as_null=True)),
    Column("branches", ARRAY(Uuid(as_uuid=True)), nullable=False, server_default=text("'{}'")),
    uuid("forked_from", nullable=True),
    uuid("forked_at", nullable=True),
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

notes = Table(
    "notes",
    metadata,
    tenant(),
    uuid("id"),
    uuid("user_id"),
    Column("key", Text, nullable=False),
    Column("text", Text, nullable=False),
    at("created_at", nullable=False, default=True),
    at("updated_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "user_id", "key"),
    pair("user_id", "users", ondelete="CASCADE"),
)
