"""The schema of the ledger: bringing it to this code's revision, and telling how far it is."""

from app.database import migrations
from app.database.connection import Database


async def upgrade(database_url: str) -> None:
    """Migrate the database to the revision of this code; does nothing when it is there already."""
    await migrations.upgrade_async(database_url)


async def revisions(database_url: str) -> tuple[str | None, str]:
    """Return the revision that the database is at (None: never migrated) and the one that this code needs."""
    database = Database(database_url, pool_size=1)
    try:
        return await migrations.present_revision(database.engine), migrations.newest_revision()
    finally:
        await database.engine.dispose()


async def server_version(database_url: str) -> int:
    """Return the major version of the PostgreSQL at this address."""
    database = Database(database_url, pool_size=1)
    try:
        async with database.engine.connect() as connection:
            result = await connection.exec_driver_sql("SHOW server_version_num")
            return int(result.scalar_one()) // 10_000
    finally:
        await database.engine.dispose()
