"""Reading the settings: environment, .env files, NAME_FILE secrets, samples, and the addresses made from parts."""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from pydantic import ValidationError
from pydantic_settings import DotEnvSettingsSource

from app.config.keys import InvalidKey, parse_ring
from app.config.settings import Settings, project_root, secret_variables, variables

SAMPLES: dict[str, frozenset[str]] = {
    "DATABASE_URL": frozenset({"postgresql+asyncpg://postgres:postgres@localhost:5432/ai_agent_platform"}),
    "OPENAI_API_KEY": frozenset({"your-openai-api-key"}),
    "ANTHROPIC_API_KEY": frozenset({"your-anthropic-api-key"}),
    "ENCRYPTION_KEY": frozenset({"your-encryption-key", "changeme"}),
    "SMTP_USERNAME": frozenset({"your-email@gmail.com"}),
    "SMTP_PASSWORD": frozenset({"your-app-password"}),
    "SMTP_FROM_EMAIL": frozenset({"noreply@yourdomain.com"}),
    "SLACK_WEBHOOK_URL": frozenset({"https://hooks.slack.com/services/YOUR/WEBHOOK/URL"}),
}
"""Values of published sample files: a variable that equals one has not been filled in."""

SAMPLES_BESIDE: dict[str, tuple[str, frozenset[str]]] = {
    "REDIS_URL": ("DATABASE_URL", frozenset({"redis://localhost:6379"})),
    "ARQ_REDIS_URL": ("DATABASE_URL", frozenset({"redis://localhost:6379"})),
    "DEFAULT_MODEL": ("OPENAI_API_KEY", frozenset({"openai:gpt-4"})),
    "SMTP_HOST": ("SMTP_USERNAME", frozenset({"smtp.gmail.com"})),
}
"""Sample values that people also mean: they count as samples only beside the sample of the variable named first."""


class InvalidSettings(ValueError):
    """A value cannot be read; the message names each variable and never repeats a secret."""


def env_files() -> tuple[Path, ...]:
    """The files that are read, weakest first: the clone's, then the current folder's; .env goes before .env.docker."""
    folders = dict.fromkeys(folder for folder in (project_root(), Path.cwd()) if folder)
    return tuple(folder / name for folder in folders for name in (".env.docker", ".env"))


def load_settings(
    *, environ: Mapping[str, str] | None = None, files: Sequence[Path] | None = None, **overrides: object
) -> Settings:
    """Return the settings of this process; the environment wins over files, `overrides` (by variable) over both.

    Unset and empty mean default, a sample counts as unset with a warning in `settings.warnings`. `environ` and
    `files` replace what is read, so that a test reads nothing by accident. Raise InvalidSettings.
    """
    values: dict[str, object] = {}
    for path in env_files() if files is None else files:
        values |= _read_env_file(path)
    values |= os.environ if environ is None else environ
    values |= {name: value for name, value in overrides.items() if value is not None}
    warnings = _unknown(values)
    known = {name: value for name in variables() if (value := _given(name, values)) not in (None, "")}
    warnings += _drop_samples(known)
    warnings += _join_addresses(known)
    return _build(known, tuple(warnings))


def _read_env_file(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    source = DotEnvSettingsSource(Settings, env_file=path, env_file_encoding="utf-8", case_sensitive=True)
    return {name: value for name, value in source.env_vars.items() if value is not None}


def _given(name: str, values: Mapping[str, object]) -> object:
    value = values.get(name)
    value = value.strip() if isinstance(value, str) else value
    path = values.get(f"{name}_FILE")
    if value not in (None, "") or not path or name not in secret_variables():
        return value
    try:
        return Path(str(path)).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{name}_FILE: the file {path} cannot be read ({type(error).__name__})") from error


def _unknown(values: Mapping[str, object]) -> list[str]:
    names = variables()
    said: list[str] = []
    for name in sorted(values):
        if not name.startswith("SIXLANE_") or name in names or name.removesuffix("_FILE") in names:
            continue
        close = difflib.get_close_matches(name, names, n=1)
        said.append(f"{name} is not a setting" + (f"; did you mean {close[0]}?" if close else " and is ignored"))
    return said


def _drop_samples(known: dict[str, object]) -> list[str]:
    sampled = [name for name, samples in SAMPLES.items() if known.get(name) in samples]
    beside = [
        name
        for name, (other, samples) in SAMPLES_BESIDE.items()
        if other in sampled and str(known.get(name, "")).rstrip("/") in samples
    ]
    for name in sampled + beside:
        del known[name]
    return [f"{name} still has its sample value and counts as not set" for name in sampled + beside]


def _join_addresses(known: dict[str, object]) -> list[str]:
    if "DATABASE_URL" in known:
        known["DATABASE_URL"] = asyncpg_url(str(known["DATABASE_URL"]))
    elif "DB_HOST" in known:
        user, name = (quote(str(known.get(part, "sixlane")), safe="") for part in ("DB_USER", "DB_NAME"))
        password = f":{quote(str(known['DB_PASSWORD']), safe='')}" if "DB_PASSWORD" in known else ""
        known["DATABASE_URL"] = f"postgresql+asyncpg://{user}{password}@{known['DB_HOST']}/{name}"
    if "REDIS_URL" not in known and "REDIS_HOST" in known:
        known["REDIS_URL"] = f"redis://{known['REDIS_HOST']}:{known.get('REDIS_PORT', 6379)}/0"
    if "ARQ_REDIS_URL" not in known and "REDIS_URL" in known:
        known["ARQ_REDIS_URL"] = known["REDIS_URL"]
    lonely = [part for part in ("DB_NAME", "DB_USER", "DB_PASSWORD") if part in known]
    if lonely and "DATABASE_URL" not in known:
        return [f"{', '.join(lonely)} without DB_HOST: ignored"]
    return []


def asyncpg_url(url: str) -> str:
    """Return a PostgreSQL address in the form that the driver takes: its scheme, and `ssl` for libpq's `sslmode`."""
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in {"postgres", "postgresql", "postgresql+asyncpg"}:
        raise InvalidSettings("DATABASE_URL: write it as postgresql://user:password@host:port/name")
    parts = urlsplit(f"postgresql://{rest}")
    query = [("ssl" if name == "sslmode" else name, value) for name, value in parse_qsl(parts.query)]
    return urlunsplit(("postgresql+asyncpg", parts.netloc, parts.path or "/", urlencode(query, safe="/"), ""))


def _build(known: Mapping[str, object], warnings: tuple[str, ...]) -> Settings:
    nested: dict[str, Any] = {"warnings": warnings}
    for name, (group, _) in variables().items():
        if name in known:
            (nested.setdefault(group, {}) if group else nested)[name] = known[name]
    try:
        settings = Settings.model_validate(nested)
        parse_ring(settings.secrets)
    except ValidationError as error:
        raise InvalidSettings("; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())) from None
    except InvalidKey as error:
        raise InvalidSettings(str(error)) from None
    return settings
