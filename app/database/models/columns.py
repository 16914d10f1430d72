"""Columns and keys that the tables share. Every tenant table has the key (workspace_id, id)."""

from sqlalchemy import Column, DateTime, ForeignKey, ForeignKeyConstraint, MetaData, Uuid, text

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


def uuid(name: str, *, nullable: bool = False) -> Column[object]:
    """A column for an id."""
    return Column(name, Uuid(as_uuid=True), nullable=nullable)


def at(name: str, *, nullable: bool = True, default: bool = False) -> Column[object]:
    """A column for a moment; `default` means the moment of the insert, by the ledger's clock."""
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=NOW if default else None)


def tenant() -> Column[object]:
    """The workspace of a row whose parent row names the workspace too; a second check would only cost locks."""
    return Column("workspace_id", Uuid(as_uuid=True), nullable=False)


def of_workspace() -> Column[object]:
    """The workspace of a row that hangs on nothing else."""
    return Column("workspace_id", Uuid(as_uuid=True), ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False)


def pair(column: str, table: str, *, ondelete: str | None = None) -> ForeignKeyConstraint:
    """A reference into the same workspace."""
    return ForeignKeyConstraint(["workspace_id", column], [f"{table}.workspace_id", f"{table}.id"], ondelete=ondelete)
