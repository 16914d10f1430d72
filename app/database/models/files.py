"""Files: what people uploaded and what runs made, in pieces, and which run has which."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from app.database.models.columns import at, metadata, of_workspace, pair, tenant, uuid

files = Table(
    "files",
    metadata,
    of_workspace(),
    uuid("id"),
    uuid("user_id"),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    uuid("made_by_run_id", nullable=True),
    at("created_at", nullable=False, default=True),
    PrimaryKeyConstraint("workspace_id", "id"),
    pair("user_id", "users", ondelete="CASCADE"),
)
Index("ix_files_user", files.c.workspace_id, files.c.user_id, files.c.id)

file_pieces = Table(
    "file_pieces",
    metadata,
    tenant(),
    uuid("file_id"),
    Column("number", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("workspace_id", "file_id", "number"),
    pair("file_id", "files", ondelete="CASCADE"),
)

run_files = Table(
    "run_files",
    metadata,
    tenant(),
    uuid("run_id"),
    uuid("file_id"),
    Column("role", Text, nullable=False, server_default=text("'input'")),
    PrimaryKeyConstraint("workspace_id", "run_id", "file_id"),
    pair("run_id", "runs", ondelete="CASCADE"),
    pair("file_id", "files", ondelete="CASCADE"),
)
Index("ix_run_files_file", run_files.c.workspace_id, run_files.c.file_id)
