"""What Slack sent, which of its threads are our conversations, and which of its messages are ours."""

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB

from app.database.models.columns import EMPTY, at, metadata, of_workspace, pair, tenant, uuid

slack_receipts = Table(
    "slack_receipts",
    metadata,
    of_workspace(),
    Column("key", Text, nullable=False),
    uuid("run_id", nullable=True),
    at("received_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "key"),
)
Index("ix_slack_receipts_received_at", slack_receipts.c.received_at)

slack_threads = Table(
    "slack_threads",
    metadata,
    tenant(),
    uuid("id"),
    Column("team_id", Text, nullable=False),
    Column("channel_id", Text, nullable=False),
    Column("thread_ts", Text, nullable=False),
    uuid("conversation_id"),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "team_id", "channel_id", "thread_ts"),
    pair("conversation_id", "conversations", ondelete="CASCADE"),
)
Index("ix_slack_threads_conversation", slack_threads.c.workspace_id, slack_threads.c.conversation_id)

slack_messages = Table(
    "slack_messages",
    metadata,
    tenant(),
    uuid("id"),
    Column("kind", Text, nullable=False),
    uuid("about_id"),
    Column("channel_id", Text, nullable=False),
    Column("thread_ts", Text),
    Column("message_ts", Text),
    at("due_at"),
    Column("state", JSONB, nullable=False, server_default=EMPTY),
    at("created_at", nullable=False, default=True),
    at("updated_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "kind", "about_id"),
)
Index(
    "ix_slack_messages_due_at",
    slack_messages.c.workspace_id,
    slack_messages.c.due_at,
    postgresql_where=text("due_at IS NOT NULL"),
)
