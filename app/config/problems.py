"""What makes a configuration unsafe to start with, and how to mend it; `doctor` prints the same list."""

import ipaddress
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from app.config.choice import choose_model, missing_variable
from app.config.settings import Settings

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_KEY_HINT = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


class Problem(NamedTuple):
    """One setting that forbids a start, why, and what to do."""

    setting: str
    why: str
    fix: str


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def problems(settings: Settings) -> list[Problem]:
    """Return everything that forbids a start in the settings' mode; empty means go."""
    if settings.production:
        return [*_stores(settings), *_secrets(settings), *_web(settings), *_accounts(settings), *_model(settings)]
    if not is_loopback(settings.server.host):
        why = f"{settings.server.host} can be reached from outside, and local mode answers without a key"
        return [Problem("SIXLANE_HOST", why, "leave it unset, or set SIXLANE_ENV=production")]
    return []


def _stores(settings: Settings) -> list[Problem]:
    found: list[Problem] = []
    if not settings.database_url:
        found.append(_unset(settings, "DATABASE_URL", "production needs a PostgreSQL of its own"))
    elif _is_public(settings.database_url) and not _has_tls(settings.database_url):
        found.append(Problem("DATABASE_URL", "the server is remote and the line is not encrypted", "add ?ssl=require"))
    for name, url in (("REDIS_URL", settings.redis_url), ("ARQ_REDIS_URL", settings.arq_redis_url)):
        parts = urlsplit(url or "")
        if not url:
            found += [_unset(settings, name, "production needs a Redis or Valkey of its own")] * (name == "REDIS_URL")
        elif parts.hostname and not is_loopback(parts.hostname) and not parts.password:
            found.append(Problem(name, "the server is remote and has no password", "redis://:PASSWORD@host:port/0"))
    return found


def _secrets(settings: Settings) -> list[Problem]:
    if settings.secrets.keys or settings.secrets.encryption_key:
        return []
    return [Problem("SIXLANE_KEYS", "no key encrypts the stored secrets", f"SIXLANE_KEYS=k1:…; {_KEY_HINT}")]


def _web(settings: Settings) -> list[Problem]:
    found: list[Problem] = []
    parts = urlsplit(settings.server.public_url or "")
    if not parts.hostname:
        found.append(_unset(settings, "PUBLIC_URL", "links and callbacks need the outside address"))
    elif parts.scheme != "https" and not is_loopback(parts.hostname):
        found.append(Problem("PUBLIC_URL", "keys would cross the network in the clear", "use an https:// address"))
    if "*" in settings.server.cors_origins:
        found.append(Problem("CORS_ORIGINS", "* lets every web page call the API", "list the origins"))
    return found


def _accounts(settings: Settings) -> list[Problem]:
    """What Google needs. Slack's doors are shut as long as it has no signing secret, so nothing is asked for them."""
    found: list[Problem] = []
    google, home = settings.google, (settings.server.public_url or "").rstrip("/")
    if google.redirect_uri and not google.redirect_uri.startswith(f"{home}/"):
        why = "Google would send people elsewhere than to this server"
        found.append(Problem("GOOGLE_REDIRECT_URI", why, f"leave it unset, or set {home}/auth/callback"))
    if google.client_id and not google.client_secret:
        found.append(_unset(settings, "GOOGLE_CLIENT_SECRET", "GOOGLE_CLIENT_ID is set, and nobody can connect"))
    return found


def _model(settings: Settings) -> list[Problem]:
    choice = choose_model(settings.models)
    if choice.source not in {"DEFAULT_MODEL", "SIXLANE_DEMO", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_BASE_URL"}:
        fix = "set it with its provider's key, or DEFAULT_MODEL=demo for the demo model"
        return [_unset(settings, "DEFAULT_MODEL", "no model is configured", fix)]
    missing = missing_variable(settings.models, choice.name)
    if missing:
        return [_unset(settings, missing, f"the model {choice.name} cannot be called without it")]
    return []


def _unset(settings: Settings, name: str, why: str, fix: str | None = None) -> Problem:
    sample = any(said.startswith(f"{name} still has its sample value") for said in settings.warnings)
    return Problem(name, f"{why}; it still has its sample value" if sample else why, fix or f"set {name}")


def _is_public(url: str) -> bool:
    """Whether a server is reached over an open network; single names and private addresses are not."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".internal", ".local", ".svc"))


def _has_tls(url: str) -> bool:
    return parse_qs(urlsplit(url).query).get("ssl", ["prefer"])[0] in {"require", "verify-ca", "verify-full", "true"}
