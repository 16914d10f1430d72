"""Runs migrations over the async engine, against the configured database or the data folder's own."""

import asyncio

from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

from alembic import context
from app.database.models import metadata


def migrate(connection: Connection) -> None:
    """Run the asked migrations on an open connection, one transaction in all, never waiting long for a lock."""
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        # Several processes may start at once; the second waits here and then finds nothing to do.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7301000)")
        context.run_migrations()


async def run(url: str) -> None:
    """Open an engine for the time of the migrations."""
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
        await connection.commit()
    await engine.dispose()


async def main() -> None:
    """Find the database: the one given by the caller, else the configured one, else the data folder's own."""
    url = context.config.get_main_option("sqlalchemy.url")
    if url:
        await run(url)
        return
    from app.config import load_settings
    from app.integrations.embedded import attached_stores

    settings = load_settings()
    async with attached_stores(settings) as stores:
        await run(stores.database_url)


if context.is_offline_mode():
    raise SystemExit("Sixlane's migrations run against a live database; offline SQL is not offered.")
asyncio.run(main())
