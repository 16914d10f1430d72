"""Bringing a database to the schema of this code, and telling how far it is."""

import asyncio
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from alembic import command


def _scripts() -> Path:
    packaged = Path(__file__).with_name("alembic")
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "alembic"


def _config(url: str | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()))
    if url:
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def newest_revision() -> str:
    """The schema revision that this code is written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def known_revisions() -> tuple[str, ...]:
    """Every revision that this code knows, the newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def upgrade(url: str) -> None:
    """Migrate the database to the newest revision. Blocks; not for use inside an event loop."""
    command.upgrade(_config(url), "head")


async def upgrade_async(url: str) -> None:
    """Migrate from inside an event loop."""
    await asyncio.to_thread(upgrade, url)


async def present_revision(engine: AsyncEngine) -> str | None:
    """The revision that the database is at; None when it was never migrated."""
    async with engine.connect() as connection:
        try:
            return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
        except ProgrammingError:
            return None
