"""The settings: where values come from, what counts as not set, what forbids a start."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from app.config import (
    InvalidSettings,
    Settings,
    choose_model,
    is_loopback,
    load_settings,
    missing_variable,
    parse_ring,
    problems,
)

SEED_FILE = {
    "DATABASE_URL": "postgresql+asyncpg://postgres:postgres@localhost:5432/ai_agent_platform",
    "REDIS_URL": "redis://localhost:6379",
    "ARQ_REDIS_URL": "redis://localhost:6379",
    "OPENAI_API_KEY": "your-openai-api-key",
    "ANTHROPIC_API_KEY": "your-anthropic-api-key",
    "DEFAULT_MODEL": "openai:gpt-4",
    "SMTP_HOST": "smtp.gmail.com",
}
PRODUCTION = {
    "SIXLANE_ENV": "production",
    "DATABASE_URL": "postgresql://u:p@db/sixlane",
    "REDIS_URL": "redis://:secret@cache:6379/0",
    "PUBLIC_URL": "https://agents.example.com",
    "ENCRYPTION_KEY": base64.urlsafe_b64encode(bytes(range(32))).decode(),
    "OPENAI_API_KEY": "sk-real",
}


def load(**environ: str) -> Settings:
    return load_settings(environ=environ, files=[])


def test_nothing_set_is_local_with_embedded_stores_and_the_demo_model() -> None:
    settings = load()
    assert (settings.env, settings.database_url, settings.redis_url, settings.warnings) == ("local", None, None, ())
    assert choose_model(settings.models).name == "demo"
    assert problems(settings) == []


def test_environment_goes_before_env_and_env_before_env_docker(tmp_path: Path) -> None:
    (tmp_path / ".env.docker").write_text("SIXLANE_PORT=1\nSIXLANE_HOST=::1\nSIXLANE_DB_POOL=7\n")
    (tmp_path / ".env").write_text('SIXLANE_PORT=2\nSIXLANE_HOST="localhost"\n')
    files = [tmp_path / ".env.docker", tmp_path / ".env"]
    settings = load_settings(environ={"SIXLANE_PORT": "3"}, files=files)
    assert (settings.server.port, settings.server.host, settings.database.pool) == (3, "localhost", 7)
    assert load_settings(environ={"SIXLANE_PORT": "3"}, files=files, SIXLANE_PORT=4).server.port == 4


def test_env_files_of_the_current_folder_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("SIXLANE_PORT=4321\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={}).server.port == 4321


def test_empty_means_default() -> None:
    assert load(SIXLANE_PORT="", DATABASE_URL="  ", DEFAULT_MODEL="") == load()


def test_the_seeds_sample_file_counts_as_not_set_and_says_so() -> None:
    settings = load(**SEED_FILE)
    assert (settings.database_url, settings.redis_url, settings.arq_redis_url) == (None, None, None)
    assert choose_model(settings.models).name == "demo"
    assert {said.split()[0] for said in settings.warnings} == set(SEED_FILE) - {"SMTP_HOST"}


def test_values_that_people_also_mean_are_kept() -> None:
    settings = load(REDIS_URL="redis://localhost:6379", DEFAULT_MODEL="openai:gpt-4")
    assert settings.redis_url == "redis://localhost:6379"
    assert choose_model(settings.models) == ("openai:gpt-4", "DEFAULT_MODEL")
    assert settings.warnings == ()


def test_a_real_key_among_samples_is_used() -> None:
    settings = load(**SEED_FILE | {"ANTHROPIC_API_KEY": "sk-ant-real"})
    assert choose_model(settings.models).source == "ANTHROPIC_API_KEY"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgres://u:p@h:5/d", "postgresql+asyncpg://u:p@h:5/d"),
        ("postgresql://u:p@h/d?sslmode=require", "postgresql+asyncpg://u:p@h/d?ssl=require"),
        ("postgresql+asyncpg://u:p@/d?host=/run/pg", "postgresql+asyncpg://u:p@/d?host=/run/pg"),
    ],
)
def test_database_addresses_take_the_drivers_form(given: str, expected: str) -> None:
    assert load(DATABASE_URL=given).database_url == expected


def test_addresses_are_made_from_parts() -> None:
    parts = {"DB_HOST": "db:5433", "DB_NAME": "n", "DB_USER": "u", "DB_PASSWORD": "p/@", "REDIS_HOST": "r"}
    settings = load(**parts)
    assert settings.database_url == "postgresql+asyncpg://u:p%2F%40@db:5433/n"
    assert settings.redis_url == settings.arq_redis_url == "redis://r:6379/0"
    assert load(**parts, DATABASE_URL="postgres://x@y/z").database_url == "postgresql+asyncpg://x@y/z"
    assert "DB_HOST" in load(DB_NAME="n").warnings[0]


def test_secrets_come_from_files_and_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-marked\n")
    settings = load(OPENAI_API_KEY_FILE=str(tmp_path / "key"))
    assert settings.models.openai_api_key
    assert settings.models.openai_api_key.get_secret_value() == "sk-marked"
    assert "sk-marked" not in repr(settings)
    with pytest.raises(InvalidSettings, match="OPENAI_API_KEY_FILE"):
        load(OPENAI_API_KEY_FILE=str(tmp_path / "none"))


@pytest.mark.parametrize(
    "environ",
    [
        {"SIXLANE_PORT": "x-marked"},
        {"SIXLANE_ENV": "prod-marked"},
        {"SIXLANE_LEASE_SECONDS": "-1"},
        {"PUBLIC_URL": "marked"},
        {"DATABASE_URL": "mysql://marked"},
        {"SIXLANE_KEYS": "k1:marked"},
        {"SIXLANE_KEYS": "marked" * 9},
        {"ENCRYPTION_KEY": "marked"},
    ],
)
def test_a_wrong_value_names_the_variable_and_not_the_value(environ: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load(**environ)
    assert next(iter(environ)) in str(caught.value)
    assert "marked" not in str(caught.value)


def test_a_mistyped_variable_is_pointed_out() -> None:
    assert load(SIXLANE_LEASE_SECOND="3").warnings == (
        "SIXLANE_LEASE_SECOND is not a setting; did you mean SIXLANE_LEASE_SECONDS?",
    )


def test_the_data_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert load(SIXLANE_DATA="here").data == tmp_path / "here"
    assert load(SIXLANE_DATA="~/there").data == Path("/home/me/there")


def test_settings_are_frozen() -> None:
    settings: Any = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.env = "production"
    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1


@pytest.mark.parametrize(
    ("environ", "name", "source"),
    [
        ({"SIXLANE_DEMO": "1", "OPENAI_API_KEY": "k", "DEFAULT_MODEL": "openai:x"}, "demo", "SIXLANE_DEMO"),
        ({"DEFAULT_MODEL": "openai:x"}, "openai:x", "DEFAULT_MODEL"),
        ({"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}, "openai:gpt-6.1-terra", "OPENAI_API_KEY"),
        ({"OLLAMA_BASE_URL": "http://localhost:11434/v1"}, "ollama:llama3.2", "OLLAMA_BASE_URL"),
    ],
)
def test_model_choice(environ: dict[str, str], name: str, source: str) -> None:
    assert choose_model(load(**environ).models) == (name, source)


def test_missing_variable_of_a_model() -> None:
    assert missing_variable(load().models, "openai:x") == "OPENAI_API_KEY"
    assert missing_variable(load(OPENAI_BASE_URL="http://localhost:1/v1").models, "openai:x") is None
    assert missing_variable(load().models, "anthropic:x") == "ANTHROPIC_API_KEY"
    assert missing_variable(load().models, "ollama:x") == "OLLAMA_BASE_URL"
    assert missing_variable(load().models, "demo") is None


def test_key_ring() -> None:
    fernet = base64.urlsafe_b64encode(b"\xfb" * 32).decode()
    ring = parse_ring(load(SIXLANE_KEYS=f"k2:{'ab' * 32},k1:{'phrase ' * 5}", ENCRYPTION_KEY=fernet).secrets)
    assert [key.id for key in ring] == ["k2", "k1", "1"]
    assert (ring[0].key, ring[2].key) == (b"\xab" * 32, b"\xfb" * 32)
    assert {len(key.key) for key in ring} == {32}
    with pytest.raises(InvalidSettings, match="same id"):
        load(SIXLANE_KEYS=f"1:{'ab' * 32}", ENCRYPTION_KEY=fernet)


def test_a_sound_production_configuration_starts() -> None:
    assert problems(load(**PRODUCTION)) == []
    assert problems(load(**PRODUCTION | {"OPENAI_API_KEY": "", "DEFAULT_MODEL": "demo"})) == []


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"DATABASE_URL": SEED_FILE["DATABASE_URL"]}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgres://u:p@db.example.com/d"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgres://u:p@8.8.8.8/d"}, "DATABASE_URL"),
        ({"REDIS_URL": ""}, "REDIS_URL"),
        ({"REDIS_URL": "redis://cache:6379"}, "REDIS_URL"),
        ({"ARQ_REDIS_URL": "redis://cache:6379"}, "ARQ_REDIS_URL"),
        ({"ENCRYPTION_KEY": ""}, "SIXLANE_KEYS"),
        ({"ENCRYPTION_KEY": "changeme"}, "SIXLANE_KEYS"),
        ({"PUBLIC_URL": ""}, "PUBLIC_URL"),
        ({"PUBLIC_URL": "http://agents.example.com"}, "PUBLIC_URL"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS"),
        ({"GOOGLE_REDIRECT_URI": "https://elsewhere.example.com/auth/callback"}, "GOOGLE_REDIRECT_URI"),
        ({"GOOGLE_CLIENT_ID": "client"}, "GOOGLE_CLIENT_SECRET"),
        ({"OPENAI_API_KEY": ""}, "DEFAULT_MODEL"),
        ({"OPENAI_API_KEY": "your-openai-api-key"}, "DEFAULT_MODEL"),
        ({"DEFAULT_MODEL": "anthropic:x"}, "ANTHROPIC_API_KEY"),
    ],
)
def test_production_refuses_what_is_unsafe(change: dict[str, str], setting: str) -> None:
    found = problems(load(**PRODUCTION | change))
    assert [problem.setting for problem in found if problem.setting == setting], found
    assert all(problem.fix and re.match(r"[A-Z_]+$", problem.setting) for problem in found)


@pytest.mark.parametrize(
    "change",
    [
        {"DATABASE_URL": "postgres://u:p@db.example.com/d?sslmode=verify-full"},
        {"DATABASE_URL": "postgres://u:p@10.0.0.3/d"},
        {"PUBLIC_URL": "http://127.0.0.1:8000"},
        {"REDIS_URL": "redis://127.0.0.1:6379"},
        {"SLACK_BOT_TOKEN": "xoxb-1"},
    ],
)
def test_production_accepts_what_is_safe(change: dict[str, str]) -> None:
    assert problems(load(**PRODUCTION | change)) == []


def test_local_mode_binds_loopback_only() -> None:
    assert [problem.setting for problem in problems(load(SIXLANE_HOST="0.0.0.0"))] == ["SIXLANE_HOST"]
    assert problems(load(SIXLANE_HOST="::1")) == []
    assert is_loopback("127.1.2.3")
    assert is_loopback("localhost")
    assert not is_loopback("example.com")
