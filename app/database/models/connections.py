"""Linked outside accounts with their sealed tokens, who is who there, and links on their way."""

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
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.database.models.columns import EMPTY, at, metadata, of_workspace, pair, tenant, uuid

connections = Table(
    "connections",
    metadata,
    of_workspace(),
    uuid("id"),
    uuid("user_id"),
    Column("provider", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("status", Text, nullable=False),
    Column("status_reason", Text),
    Column("sealed_refresh", LargeBinary),
    Column("sealed_access", LargeBinary),
    at("access_expires_at"),
    Column("version", Integer, nullable=False, server_default=text("0")),
    at("refreshing_until"),
    at("created_at", nullable=False, default=True),
    at("updated_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "provider", "user_id"),
    pair("user_id", "users", ondelete="CASCADE"),
)

oauth_states = Table(
    "oauth_states",
    metadata,
    tenant(),
    uuid("id"),
    uuid("user_id"),
    Column("provider", Text, nullable=False),
    Column("state_hash", LargeBinary, nullable=False),
    Column("browser_hash", LargeBinary),
    Column("sealed_verifier", LargeBinary, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("origin", JSONB, nullable=False, server_default=EMPTY),
    at("expires_at", nullable=False),
    at("used_at"),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("state_hash"),
    pair("user_id", "users", ondelete="CASCADE"),
)
Index("ix_oauth_states_created_at", oauth_states.c.created_at)

identities = Table(
    "identities",
    metadata,
    of_workspace(),
    uuid("id"),
    Column("provider", Text, nullable=False),
    Column("subject", Text, nullable=False),
    uuid("user_id"),
    Column("profile", JSONB, nullable=False, server_default=EMPTY),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "provider", "subject"),
    pair("user_id", "users", ondelete="CASCADE"),
)

approval_links = Table(
    "approval_links",
    metadata,
    tenant(),
    uuid("id"),
    uuid("approval_id"),
    Column("token_hash", LargeBinary, nullable=False),
    at("expires_at", nullable=False),
    at("used_at"),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("token_hash"),
    pair("approval_id", "approvals", ondelete="CASCADE"),
)

mail_sends = Table(
    "mail_sends",
    metadata,
    tenant(),
    uuid("id"),
    uuid("user_id"),
    uuid("run_id"),
    Column("effect_key", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("draft_id", Text),
    Column("status", Text, nullable=False),
    at("created_at", nullable=False, default=True),
    at("sent_at"),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "effect_key"),
    pair("user_id", "users", ondelete="CASCADE"),
)
Index("ix_mail_sends_account", mail_sends.c.workspace_id, mail_sends.c.account, mail_sends.c.created_at)
