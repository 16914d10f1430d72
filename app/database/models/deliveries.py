"""The outbox: notifications and every attempt to deliver one."""

from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.database.models.columns import EMPTY, at, metadata, pair, tenant, uuid

deliveries = Table(
    "deliveries",
    metadata,
    tenant(),
    uuid("id"),
    uuid("user_id"),
    uuid("task_id", nullable=True),
    uuid("run_id", nullable=True),
    Column("event", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("target", JSONB, nullable=False, server_default=EMPTY),
    Column("content", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("status_reason", Text),
    Column("status_detail", Text),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    at("due_at", nullable=False, default=True),
    at("lease_until"),
    Column("fence", Integer, nullable=False, server_default=text("0")),
    uuid("digest_id", nullable=True),
    uuid("fallback_of", nullable=True),
    uuid("resend_of", nullable=True),
    Column("dedup_key", Text, nullable=False),
    at("created_at", nullable=False, default=True),
    at("ended_at"),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "dedup_key"),
    pair("user_id", "users", ondelete="CASCADE"),
)
Index(
    "ix_deliveries_due",
    deliveries.c.due_at,
    postgresql_where=deliveries.c.status.in_(("pending", "sending", "held")),
)
Index("ix_deliveries_run", deliveries.c.workspace_id, deliveries.c.run_id)
Index("ix_deliveries_task", deliveries.c.workspace_id, deliveries.c.task_id)
Index("ix_deliveries_created_at", deliveries.c.created_at)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    tenant(),
    uuid("delivery_id"),
    Column("number", SmallInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("code", Text),
    Column("detail", Text),
    Column("snippet", Text),
    Column("seconds", Float, nullable=False),
    at("started_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "delivery_id", "number"),
    pair("delivery_id", "deliveries", ondelete="CASCADE"),
)
