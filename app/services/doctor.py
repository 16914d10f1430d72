"""What the doctor looks at: the data folder, the stores, and the schema in them."""

from typing import NamedTuple

from app.integrations.data_folder import private_folder
from app.integrations.embedded import StoreSettings, attached_stores
from app.integrations.redis_check import redis_facts
from app.integrations.server_process import ServerFailed
from app.models.errors import SettingError
from app.services import schema

OLDEST_POSTGRES = 15


class Finding(NamedTuple):
    """One thing that was looked at; `fix` says what to do when it is not ok."""

    subject: str
    ok: bool
    what: str
    fix: str


async def examine(settings: StoreSettings) -> list[Finding]:
    """Return what is well and what is not; embedded stores are started for it if they do not run."""
    findings: list[Finding] = []
    try:
        if not (settings.database_url and settings.redis_url):
            findings.append(Finding("SIXLANE_DATA", True, str(private_folder(settings.data)), ""))
        async with attached_stores(settings) as urls:
            findings += await _database(urls.database_url, embedded=settings.database_url is None)
            findings.append(await _redis(urls.redis_url))
    except SettingError as error:
        setting, _, why = str(error).partition(": ")
        findings.append(Finding(setting, False, why, f"change {setting}"))
    except ServerFailed as error:
        findings.append(Finding("embedded stores", False, str(error), "read the log; 'sixlane reset' starts afresh"))
    return findings


async def _database(url: str, *, embedded: bool) -> list[Finding]:
    kind = "embedded PostgreSQL" if embedded else "PostgreSQL"
    try:
        version = await schema.server_version(url)
        present, newest = await schema.revisions(url)
    except Exception as error:
        return [Finding("DATABASE_URL", False, f"{type(error).__name__}: {error}", "check address, password and TLS")]
    return [
        Finding("DATABASE_URL", version >= OLDEST_POSTGRES, f"{kind} {version}", f"use {OLDEST_POSTGRES} or later"),
        Finding("schema", present == newest, f"revision {present}, this version needs {newest}", "sixlane migrate"),
    ]


async def _redis(url: str) -> Finding:
    facts = await redis_facts(url)
    if isinstance(facts, str):
        return Finding("REDIS_URL", False, facts, "check address and password")
    ok = facts.eviction in (None, "noeviction")
    return Finding(
        "REDIS_URL", ok, f"{facts.product} {facts.version}, {facts.eviction}", "set maxmemory-policy noeviction"
    )
