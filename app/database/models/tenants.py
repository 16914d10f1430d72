"""Tenants, their people and keys, the clock, and the processes of the fleet."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Index,
    Integer,
    Interval,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.database.models.columns import EMPTY, at, metadata, of_workspace, pair, tenant, uuid

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
    at("created_at", nullable=False, default=True),
)

users = Table(
    "users",
    metadata,
    of_workspace(),
    uuid("id"),
    Column("external_id", Text, nullable=False),
    Column("is_owner", Boolean, nullable=False, server_default=text("false")),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "external_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    of_workspace(),
    uuid("id"),
    uuid("user_id"),
    Column("user_bound", Boolean, nullable=False, server_default=text("false")),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    at("expires_at"),
    at("revoked_at"),
    at("last_used_at"),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("id"),
    pair("user_id", "users", ondelete="CASCADE"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    tenant(),
    Column("principal", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("key", String(255), nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    uuid("object_id"),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "principal", "route", "key"),
)
Index("ix_idempotency_keys_created_at", idempotency_keys.c.created_at)

processes = Table(
    "processes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("load", JSONB, nullable=False, server_default=EMPTY),
    at("started_at", nullable=False, default=True),
    at("heartbeat_at", nullable=False, default=True),
)
